"""When something that failed is tried again: later after each failure, and not all at the same time."""

from __future__ import annotations

JITTER_PPM = 100_000
"""The most that chance adds to a wait, in millionths of it. It is drawn by a shell, once, and stands in the log."""
_MOST_US = 365 * 86_400_000_000  # after many failures the double of the double is no time that anybody means


def retry_at_us(failed_at_us: int, first_us: int, *, failures: int, jitter_ppm: int) -> int:
    """Compute when the next attempt is made.

    Args:
        first_us: the wait after the first failure; after each further one it is twice as long, at most a year.
        failures: how many there were, from 1.
        jitter_ppm: what chance adds to the wait, in millionths of it.
    """
    wait_us = min(first_us << min(max(failures - 1, 0), 40), max(first_us, _MOST_US))
    return failed_at_us + wait_us + wait_us * jitter_ppm // 1_000_000
