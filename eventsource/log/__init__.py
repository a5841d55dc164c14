"""The stores of events: one protocol (`protocol.EventLog`), in memory and in SQLite; `contract` tests each of them."""

from typing import TYPE_CHECKING

from ..lazy_names import load_when_asked

if TYPE_CHECKING:
    from .defaults import random_id, utc_now_us
    from .memory import MemoryLog
    from .opening import open_store, start_store
    from .warm import WarmFolds

__all__ = ["MemoryLog", "WarmFolds", "open_store", "random_id", "start_store", "utc_now_us"]

load_when_asked(
    __name__,
    {
        ".defaults": "random_id utc_now_us",
        ".memory": "MemoryLog",
        ".opening": "open_store start_store",
        ".warm": "WarmFolds",
    },
)
