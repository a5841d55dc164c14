"""Which tasks a command line names."""

from __future__ import annotations

import click

from ...tasks.task import Task
from .agents import load_module


def find_tasks(name: str) -> list[Task[object, object]]:
    """Find the tasks of `module`, or the one of `module:name`. Raises: UsageError."""
    module_name, _, attribute = name.partition(":")
    module = load_module(name, module_name)
    if attribute:
        one = getattr(module, attribute, None)
        if not isinstance(one, Task):
            what = f"is a {type(one).__name__}" if hasattr(module, attribute) else "is not there"
            raise click.UsageError(f"{name}: expected a task; {attribute} {what}")
        return [one]
    found = list({id(thing): thing for thing in vars(module).values() if isinstance(thing, Task)}.values())
    if not found:
        raise click.UsageError(f"{name}: there is no task in it; make one with @task(id=...)")
    return found
