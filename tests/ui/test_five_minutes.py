"""Who knows nothing but the words on the page finds why a run went wrong, and mends it."""

from __future__ import annotations

from playwright.async_api import Browser

from eventsource.message_text import text_of
from refold import open_log
from tests.ui.five_minutes import STEPS, TITLE, Reader, looking_at_it


async def test_a_reader_finds_why_a_run_went_wrong_and_forks_it_with_another_wording(browser: Browser) -> None:
    async with open_log() as log, looking_at_it(browser, log) as watched:
        session = await log.session(TITLE)
        before = (await session.info()).digest
        reader = Reader(watched)
        for step in STEPS[:6]:
            await getattr(reader, step)()
        assert "view=diff" in watched.page.url
        for step in STEPS[6:]:
            await getattr(reader, step)()
        [fork] = [one for one in await log.sessions() if (await one.info()).parent == session.id]
        said = text_of((await fork.messages())[-1].message)
        assert "Mended in src/cart/wait.ts" in said
        assert (await session.info()).digest == before  # the original is never written
