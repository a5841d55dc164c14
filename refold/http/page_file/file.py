"""The built page with a session in it, as one HTML file that asks nobody for anything."""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Collection, Sequence
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from eventsource.errors import StoreError
from replay.html.blocks import esc
from replay.markdown import session_markdown
from replay.omitted_copy import OmittedCopy
from replay.omitting import Omitted

from ...log import Log
from ..api.served import Served
from .archive import archive
from .blocks import packed
from .chosen import Chosen, chosen

_ASSET = re.compile(r'<(?:script|link)\b[^>]*?(?:src|href)="/assets/([\w.-]+)"[^>]*>(?:</script>)?')
_MOST_TEXT = 1_000_000


def page_folder() -> Traversable:
    """Return the folder in which the page of one script lies, if it was built."""
    return files("refold.http").joinpath("page", "file")


async def session_file(
    log: Log,
    session: str,
    *,
    family: bool = False,
    omit: Collection[Omitted] = (),
    page: Traversable | None = None,
) -> bytes:
    """Write a session as one file; see `served_file`."""
    served = Served(log, token="")
    try:
        return await served_file(served, session, family=family, omit=omit, page=page)
    finally:
        await served.stop()


async def served_file(
    served: Served,
    session: str,
    *,
    family: bool = False,
    omit: Collection[Omitted] = (),
    page: Traversable | None = None,
) -> bytes:
    """Write a session, and the agents that it started, as one file: the page, and all that it can ask for.

    Args:
        family: also its branches, and the other sessions of its tree.
        omit: what is left out; the file is then made of a copy without it.
        page: the folder of the built page.

    Raises: UnknownSessionError; StoreError when the page was not built.
    """
    folder = page or page_folder()
    if not folder.joinpath("index.html").is_file():
        raise StoreError(str(folder), "the page is not built here", "`make ui` in a checkout builds it")
    found = await chosen(served.log.store, session, family=family, omit=omit)
    if not omit:
        return await _written(served, found, folder, ())
    copy = OmittedCopy(served.log.store, omit)
    await copy.add(*found.inside)
    copied = Served(Log(copy.store, clock=served.log.clock), token="")
    try:
        return await _written(copied, found, folder, await copy.left_out(found.inside))
    finally:
        await copied.stop()


async def _written(served: Served, found: Chosen, folder: Traversable, omitted: Sequence[str]) -> bytes:
    """Write sessions as one file, of all that is served of them."""
    index = folder.joinpath("index.html")
    text = await session_markdown(served.log.store, found.inside[0], left_out=omitted)
    whole, blocks = await archive(served, found, version=version("refold"), omitted=omitted)

    def put_together() -> bytes:
        data = b"\n".join((packed(msgspec.json.encode(whole)), *blocks.packed))
        return one_file(index.read_text(encoding="utf-8"), folder.joinpath("assets"), data, text)

    return await asyncio.to_thread(put_together)


def one_file(index: str, assets: Traversable, data: bytes, text: str) -> bytes:
    """Put the page's scripts and styles, and what it reads, into its document, and forbid everything else.

    The scripts stand before what they read: of a file that was cut short they say so.
    `text`: what who runs no scripts reads instead.
    """
    scripts: list[str] = []
    styles: list[str] = []

    def inlined(found: re.Match[str]) -> str:
        name = found[1]
        text = assets.joinpath(name).read_text(encoding="utf-8")
        match name.rpartition(".")[2]:
            case "js":
                scripts.append(text.replace("</script", "\\x3c/script"))
                return ""
            case "css":
                styles.append(text.replace("</style", r"<\/style"))
                return f"<style>{styles[-1]}</style>"
            case _:
                return f'<link rel="icon" href="data:image/svg+xml;base64,{b64encode(text.encode()).decode()}" />'

    page = _ASSET.sub(inlined, index)
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    head = f'<meta http-equiv="content-security-policy" content="{policy}" />'
    code = "".join(f'<script type="module">{script}</script>' for script in scripts)
    more = f"\n\n… {len(text) - _MOST_TEXT:,} more characters" if len(text) > _MOST_TEXT else ""
    plain = f"<noscript><pre>{esc(text[:_MOST_TEXT] + more)}</pre></noscript>"
    page = re.sub(r"<noscript>.*?</noscript>", lambda _: plain, page, count=1, flags=re.DOTALL)
    page = page.replace("<head>", f"<head>\n    {head}", 1)
    before, _, behind = page.partition("</body>")
    around = f'{before}{code}\n<script type="application/json" id="archive">', f"</script>\n</body>{behind}"
    return around[0].encode() + data + around[1].encode()


def _hashes(texts: list[str]) -> str:
    return " ".join(f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts)
