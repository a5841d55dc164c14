"""The events that histories of `refold.testing` are walked with."""

from refold.testing.candidates import (
    ASKED,
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
    "ASKED",
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
