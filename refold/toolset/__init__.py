"""Tools for the command line, and for agents of yours: files of one folder, and a shell that begins there."""

from .files import FILE_TOOLS, file_tools
from .shell import shell_tool

__all__ = ["FILE_TOOLS", "file_tools", "shell_tool"]
