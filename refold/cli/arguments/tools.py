"""The tools that a command line names: files of a folder, a shell, tools of MCP servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from eventsource.errors import MissingToolError
from eventsource.machine.state import Config
from eventsource.tools.tool import Tool

from ..terminal.screen import write

F = TypeVar("F", bound=Callable[..., object])

FILES = ("read", "ls", "grep", "write", "edit")
"""As `refold.toolset.FILE_TOOLS`, which is slow to load; a test compares them."""

_META = "refold.tools"

_ALL = "all"


@dataclass
class ToolSelection:
    """The tools that options name: file tools by name (`all`: those of the session, else all), a shell, MCP servers."""

    names: str | None = None
    bash: bool = False
    mcp: tuple[str, ...] = ()
    root: Path | None = None

    @property
    def empty(self) -> bool:
        """True when no tool was named."""
        return self.names is None and not self.bash and not self.mcp

    def options(self) -> list[str]:
        """List the options that select the same."""
        names = [] if self.names is None else ["--tools" if self.names == _ALL else f"--tools={self.names}"]
        servers = [word for server in self.mcp for word in ("--mcp", "URL" if "://" in server else server)]
        root = ["--root", str(self.root)] if self.root is not None else []
        return [*names, *["--bash"] * self.bash, *servers, *root]

    def files(self, config: Config) -> Sequence[str]:
        """List the file tools that are selected. Raises: UsageError for a shell that was not asked for by its flag."""
        if self.names is None:
            return ()
        if self.names == _ALL:
            return [spec.name for spec in config.tools if spec.name in FILES] or FILES
        named = self.names.split(",")
        if "bash" in named and not self.bash:
            raise click.UsageError("--tools bash: a shell is confined to nothing; say --bash if that is meant")
        return [name for name in named if name != "bash"]


def _names(value: str) -> str:
    """Check names as soon as they are read: else a prompt behind `--tools` would be missed, not misplaced."""
    names = [name.strip() for name in value.split(",")]
    if value != _ALL and not {*names} <= {*FILES, "bash"}:
        raise click.UsageError(
            f"--tools {value}: expected some of {','.join(FILES)}; before a prompt, write --tools=all"
        )
    return ",".join(names)


def _note(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    selection = _selection_of(ctx)
    match parameter.name, value:
        case "tools", str():
            selection.names = _names(value)
        case "bash", bool():
            selection.bash = value
        case "mcp", tuple():
            selection.mcp = tuple(map(str, value))
        case "root", Path():
            selection.root = value
        case _:
            pass


def tool_options(function: F) -> F:
    """Add the options that name tools; `selected_tools()` returns what they name."""
    for option in (
        click.option(
            "--root",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            metavar="FOLDER",
            expose_value=False,
            callback=_note,
            help="The folder that these tools work in.  [default: the current one]",
        ),
        click.option(
            "--mcp",
            multiple=True,
            metavar="COMMAND|URL",
            expose_value=False,
            callback=_note,
            help="Add the tools of an MCP server: a command that starts one, or where one is.",
        ),
        click.option(
            "--bash", is_flag=True, expose_value=False, callback=_note, help="Add a shell. It is confined to nothing."
        ),
        click.option(
            "--tools",
            is_flag=False,
            flag_value=_ALL,
            metavar="[NAMES]",
            expose_value=False,
            callback=_note,
            help=f"Add tools for the files of one folder: {','.join(FILES)}, or some of them.",
        ),
    ):
        function = option(function)
    return function


def selected_tools() -> ToolSelection:
    """Return the tools that the command line names. Raises: UsageError when its options contradict each other."""
    context = click.get_current_context()
    selection = _selection_of(context)
    if selection.empty and selection.root is not None:
        raise click.UsageError("--root goes with --tools or --bash")
    if not selection.empty and context.params.get("agent_name") is not None:
        raise click.UsageError("--tools, --bash and --mcp go without --agent: an agent says itself which tools it has")
    if not selection.empty and context.params.get("no_tools"):
        raise click.UsageError("--no-tools goes without --tools, --bash and --mcp")
    return selection


@asynccontextmanager
async def open_tools(selection: ToolSelection, session: str, config: Config) -> AsyncIterator[list[Tool] | None]:
    """Open the tools, and connect to the servers that have them; None when none were named.

    Raises: UsageError when two have one name, or the session works with tools of ours and none were named;
        MissingToolError when it works with another one, unless those it is to have were named one by one.
    """
    if selection.empty:
        _require_tool_options(session, config)
        yield None
        return
    from ...toolset import file_tools, shell_tool

    root = selection.root or Path()
    tools = file_tools(root, selection.files(config)) + ([shell_tool(root)] if selection.bash else [])
    async with AsyncExitStack() as stack:
        if selection.mcp:
            from ...mcp.tools import mcp_tools
        for server in selection.mcp:
            tools += await stack.enter_async_context(mcp_tools(server, on_finding=_warn))
        names = [tool.spec.name for tool in tools]
        if twice := [name for name in names if names.count(name) > 1]:
            raise click.UsageError(f"two tools are called {twice[0]!r}; name those you want: --tools read,ls")
        lacking = [spec.name for spec in config.tools if spec.name not in names]
        if lacking and selection.names in (None, _ALL):
            _require_tool_options(session, config, names)
            raise MissingToolError(session, lacking[0], tuple(names))
        yield tools


def _warn(what: str) -> None:
    write(f"refold: {what}", error=True)


def _require_tool_options(session: str, config: Config, given: Sequence[str] = ()) -> None:
    """Check that a session needs no tools of options. Raises: UsageError, with the options that add them."""
    names = [spec.name for spec in config.tools]
    ours = {*FILES, "bash"}
    if not names or not {*names} - {*given} <= ours:
        return
    options = ["--tools"] * bool({*names} & {*FILES}) + ["--bash"] * ("bash" in names)
    raise click.UsageError(
        f"session {session} works with the tools {', '.join(names)}; if they are the command line's own, "
        f"say {' '.join(options)}, else --agent module:name"
    )


def _selection_of(ctx: click.Context) -> ToolSelection:
    selection: ToolSelection = ctx.meta.setdefault(_META, ToolSelection())
    return selection
