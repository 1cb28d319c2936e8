"""A real browser for the tests of pages: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
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


@contextmanager
def browser_page(port: int) -> Iterator[Page]:
    """A page of the gateway at `port`; what a script of ours throws, or the browser refuses to load, fails the test."""
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
    assert complaints == []
