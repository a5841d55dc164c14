"""Packages whose public names are loaded when they are first asked for, so that importing one costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType


def load_when_asked(package: str, homes: Mapping[str, str]) -> None:
    """Load a package's names from their modules when they are first asked for; then they stay in the package.

    The package imports the same names under TYPE_CHECKING, for whoever reads the code without running it.

    Args:
        package: its name, as it stands in `sys.modules`.
        homes: of each module (relative to the package, or absolute) the names that come from it, in one text.

    Source: docs/decisions/0157-names-are-loaded-when-asked-for.md
    """
    found = {name: module for module, names in homes.items() for name in names.split()}

    class LazyPackage(ModuleType):
        def __getattr__(self, name: str) -> object:
            if name not in found:
                raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=self)
            value = getattr(import_module(found[name], package), name)
            super().__setattr__(name, value)
            return value

        def __setattr__(self, name: str, value: object) -> None:
            """Set an attribute, but not a file in place of the public thing of its name, as loading the file does."""
            if not (isinstance(value, ModuleType) and name in found):
                super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *found})

    sys.modules[package].__class__ = LazyPackage
