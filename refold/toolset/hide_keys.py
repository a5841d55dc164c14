"""Hiding the keys of this process from the commands it runs: from its environment as Linux shows it, and its memory.

Source: docs/decisions/0104-a-command-has-a-supervisor.md
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from eventsource.models.catalog import VENDORS
from eventsource.models.secrets import Secrets

from .supervisor import SET_DUMPABLE, control

_ENV_START, _ENV_END = 47, 48  # of /proc/self/stat, counted from the state; proc(5) calls them 50 and 51


def key_variables(given: Mapping[str, str]) -> set[str]:
    """List the variables of an environment that hold a key of a model provider, whatever they are called."""
    keys = {name for vendor in VENDORS.values() for name in vendor.env if name in given}
    known = Secrets()
    for name in keys:
        known.add(given[name])
    return keys | {name for name, value in given.items() if known.redact(value) != value}


def hide_keys() -> None:
    """Hide the keys of model providers that this process was started with, and its memory (Linux).

    From now on other processes of this user cannot read them under /proc, nor attach a debugger, and there is no core
    dump. The program itself and what it starts find the variables as before.
    """
    control(SET_DUMPABLE, 0)
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    except (OSError, LookupError, ValueError):
        return
    if not 0 < start < end:  # not told
        return
    for name in key_variables(os.environ):
        os.putenv(name, os.environ[name])  # a copy elsewhere, which is read from now on
        value = os.fsencode(os.environ[name])
        place = ctypes.string_at(start, end - start).find(os.fsencode(name) + b"=" + value + b"\0")
        if value and place >= 0:
            ctypes.memset(start + place + len(os.fsencode(name)) + 1, ord("x"), len(value))
