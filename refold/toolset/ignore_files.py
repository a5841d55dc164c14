"""Files of rules above the folder of the tools that count in it: those of the repository that it is part of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def outer_rules(root: Path) -> Iterator[list[tuple[int, str]]]:
    """Open what git reads above a folder: the .gitignore files up to the repository's own, and its info/exclude.

    Yields: open files, the first before the others, each with the folder's path from where its rules count. Nothing
    where the folder is part of no repository.
    """
    opened: list[tuple[int, str]] = []
    try:
        for file, path in _files(root):
            try:
                opened.append((os.open(file, _FILE), path))
            except OSError:  # there is none, or it is a link
                continue
        yield opened
    finally:
        for descriptor, _ in opened:
            os.close(descriptor)


def _files(root: Path) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for folder in (root, *root.parents):
        inside = f"{root.relative_to(folder).as_posix()}/" if folder != root else ""
        if folder != root:
            found.append((folder / ".gitignore", inside))
        if (folder / ".git").exists():
            return [*found, (_git_folder(folder / ".git") / "info" / "exclude", inside)]
    return []


def _git_folder(git: Path) -> Path:
    """Find the folder that git keeps a repository in: of a working tree or a submodule, a file names it."""
    try:
        if git.is_file():
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            shared = git / "commondir"
            git = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
    except (OSError, UnicodeDecodeError, ValueError):  # no repository after all
        pass
    return git
