"""The page is served to whoever reaches the server, by all its paths, and may load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from refold import Log, open_log
from refold.http.api.api import LIMITS, Api
from refold.http.api.built_page import POLICY
from refold.http.api.headers import SAFE_HEADERS
from refold.http.api.page import PAGE
from refold.http.api.problems import refusal
from refold.http.api.served import Served
from refold.http.api.v1 import ROUTES
from refold.http.server import serving

from .serving import HEADERS, TOKEN, served

FILES: Mapping[str, str] = {
    "index.html": "<!doctype html><script src=/assets/main-ab12.js></script>",
    "assets/main-ab12.js": "1",
    "assets/main-ab12.css": "p {}",
    "assets/icon.svg": "<svg/>",
    "assets/main-ab12.js.map": "{}",
    "licenses.md": "MIT",
}


@asynccontextmanager
async def with_page(log: Log, folder: Path, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a log, with a page that lies in a folder."""
    api = Api(Served(log, TOKEN), (*ROUTES, *PAGE), page=folder)
    async with (
        serving(api.answer, limits=LIMITS, refusal=refusal) as running,
        httpx.AsyncClient(base_url=running.url, headers=headers, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A page as a build leaves it, and a secret beside it."""
    for name, text in FILES.items():
        path = tmp_path / "page" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "secret.js").write_text("secret")
    return tmp_path / "page"


async def test_every_path_of_the_page_is_the_one_document_and_needs_no_token(built: Path) -> None:
    async with open_log() as log, with_page(log, built) as client:
        for path in ("/", "/store", "/s/a", "/s/a%2Fb?at=3&view=request"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (200, FILES["index.html"]), path
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["content-security-policy"] == POLICY
            assert answer.headers["cache-control"] == "no-cache"
            assert SAFE_HEADERS.items() <= answer.headers.items()
        assert (await client.head("/")).content == b""
        assert (await client.post("/")).status_code == 405


async def test_an_asset_is_kept_for_ever_since_its_name_says_what_it_holds(built: Path) -> None:
    kinds = {"main-ab12.js": "text/javascript", "main-ab12.css": "text/css", "icon.svg": "image/svg+xml"}
    async with open_log() as log, with_page(log, built) as client:
        for name, kind in kinds.items():
            answer = await client.get(f"/assets/{name}")
            assert (answer.status_code, answer.text) == (200, FILES[f"assets/{name}"])
            assert answer.headers["content-type"].partition(";")[0] == kind
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert SAFE_HEADERS.items() <= answer.headers.items()


@pytest.mark.parametrize(
    "name",
    [
        "gone-ab12.js",
        "main-ab12.js.map",
        "..%2f..%2fsecret.js",
        "..%5csecret.js",
        "%2e%2e/secret.js",
        "%00main-ab12.js",
        ".js",
        "",
        "main-ab12.js/",
        "%2Fetc%2Fpasswd.js",
    ],
)
async def test_nothing_beside_the_assets_is_served(name: str, built: Path) -> None:
    async with open_log() as log, with_page(log, built) as client:
        answer = await client.get(f"/assets/{name}")
        assert answer.status_code in (307, 400, 404), answer.text
        assert "secret" not in answer.text


async def test_what_the_page_asks_for_is_guarded_all_the_same(built: Path) -> None:
    async with open_log() as log, with_page(log, built) as client:
        for path in ("/api/sessions", "/v1/sessions", "/s", "/storex", "/asset", "/index.html", "/licenses.md"):
            assert (await client.get(path)).status_code == 401, path
        assert (await client.get("/api/sessions", headers=HEADERS)).status_code == 200
        for path in ("/index.html", "/licenses.md", "/s"):
            assert (await client.get(path, headers=HEADERS)).status_code == 404, path


async def test_a_page_that_was_not_built_says_how_it_is(tmp_path: Path) -> None:
    async with open_log() as log, with_page(log, tmp_path) as client:
        answer = await client.get("/s/a")
        assert answer.status_code == 503
        assert "make ui" in answer.text
        assert "script-src" not in answer.headers["content-security-policy"]


async def test_a_link_from_elsewhere_leads_to_the_page_and_nothing_else_from_there_does(built: Path) -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    async with open_log() as log, with_page(log, built) as client:
        assert (await client.get("/", headers={**elsewhere, "sec-fetch-mode": "navigate"})).status_code == 200
        for path in ("/", "/assets/main-ab12.js"):
            assert (await client.get(path, headers={**elsewhere, "sec-fetch-mode": "no-cors"})).status_code == 403
            assert (await client.get(path, headers={"host": "evil.example"})).status_code == 403
            assert (await client.get(path, headers={"origin": "https://evil.example"})).status_code == 403


async def test_what_is_answered_is_kept_in_no_cache_and_taken_for_nothing_else() -> None:
    async with served() as setup:
        await setup.log.session("a")
        for path in (
            "/v1/sessions",
            "/api/sessions",
            "/api/sessions/a",
            "/api/sessions/b",
            "/openapi.json",
            "/healthz",
        ):
            answer = await setup.client.get(path)
            assert answer.headers["cache-control"] == "no-store", path
            assert SAFE_HEADERS.items() <= answer.headers.items(), path
