"""A real browser for the tests of pages: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

PATIENCE_MS = 60_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Return where the browser is; without one the test is skipped, and in CI it fails."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        words = "no Chromium on this machine; Debian's package is `chromium`"
        if os.environ.get("SIGNALBOX_TESTS_NEED_BROWSER"):
            pytest.fail(words)
        pytest.skip(words)
    return found


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like as `name`.png in `SIGNALBOX_PICTURES`, where that is set: the docs' pictures come from here."""
    if folder := os.environ.get("SIGNALBOX_PICTURES"):
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled")))
        # A page has few colours; a third of the bytes.
        shot.convert("RGB").quantize(128).save(Path(folder) / f"{name}.png", optimize=True)


@contextmanager
def browser_page(port: int, *, provoked: str | int | None = None) -> Iterator[Page]:
    """A page of the gateway at `port`; what a script of ours throws, or the browser refuses to load, fails the test.

    `provoked` is a status, or a pattern, that the test itself asks for; the browser complains of it, and that is right.
    """
    complaints: list[str] = []
    with sync_playwright() as playwright:
        # In a container there is no user namespace for its sandbox.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            context = browser.new_context(base_url=f"http://127.0.0.1:{port}")
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda said: complaints.append(said.text) if said.type == "error" else None,
            )
            yield page
        finally:
            browser.close()
    expected = None if provoked is None else re.compile(rf"\b{provoked}\b")
    assert [said for said in complaints if expected is None or not expected.search(said)] == []
