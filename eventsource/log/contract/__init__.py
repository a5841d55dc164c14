"""What every store of events must do, as tests to subclass."""

from .append_read import LogContract

__all__ = ["LogContract"]
