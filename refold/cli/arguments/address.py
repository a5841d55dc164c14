"""Where a server listens: its options, and what is printed when it can be reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TypeVar

import click
import msgspec

from ..terminal.screen import write
from .options import SharedOptions

F = TypeVar("F", bound=Callable[..., object])


def address_options(port: int | None, *, port_help: str = "0: a free one.") -> Callable[[F], F]:
    """Add the options that say where to listen. `port`: the one that is taken when none is named."""

    def add(function: F) -> F:
        for option in (
            click.option(
                "--host",
                metavar="ADDRESS",
                default="127.0.0.1",
                show_default=True,
                help="This machine alone, or wider.",
            ),
            click.option(
                "--port",
                metavar="N",
                type=click.IntRange(0, 65535),
                default=port,
                show_default=port is not None,
                help=port_help,
            ),
            click.option(
                "--allow-host",
                "allow_hosts",
                metavar="NAME",
                multiple=True,
                help="Another name by which clients may ask for this server, or a page's host.",
            ),
        ):
            function = option(function)
        return function

    return add


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def warn_if_public(host: str) -> None:
    """Print a warning if other machines can reach the server."""
    if not is_loopback(host):
        write(f"refold: everybody who reaches {host} may use this server; nothing is asked of them", error=True)


def print_address(what: str, url: str) -> None:
    """Print where the server can be reached."""
    as_json = click.get_current_context().ensure_object(SharedOptions).json
    write(msgspec.json.encode({"url": url}).decode() if as_json else f"{what} {url}")
