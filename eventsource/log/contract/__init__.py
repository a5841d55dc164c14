"""What every store of events must do, as tests to subclass."""

from .append_read import LogContract
from .stress import StressContract

__all__ = ["LogContract", "StressContract"]
