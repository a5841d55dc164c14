"""The events that histories of `refold.testing` are walked with."""

from refold.testing.candidates import (
    CALLING,
    CONFIGS,
    DONE,
    FAILED,
    FINAL,
    MESSAGES,
    ORIGIN,
    TOOLS,
    calling,
    candidates,
)

__all__ = [
    "CALLING",
    "CONFIGS",
    "DONE",
    "FAILED",
    "FINAL",
    "MESSAGES",
    "ORIGIN",
    "TOOLS",
    "calling",
    "candidates",
]
