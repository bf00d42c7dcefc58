"""A browser, and pages in it that tell of every error and every request."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium: CHROMIUM's, the path's, or Playwright's own; skipped where none starts."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])
    path = os.environ.get("CHROMIUM") or next(filter(None, found), None)
    with playwright.sync_playwright() as started:
        try:
            # As root, as in a container, Chromium has no sandbox.
            sandbox = [] if os.geteuid() else ["--no-sandbox"]
            chromium = started.chromium.launch(executable_path=path, args=sandbox)
        except playwright.Error as error:
            pytest.skip(f"no browser starts: {str(error).splitlines()[0]}; set CHROMIUM to one")
        yield chromium
        chromium.close()


@pytest.fixture
def open_html(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """open_html(html, **options of a context): a page of it, which fails if anything goes wrong."""
    contexts, wrong = [], []

    def open_html(html: str, **options: Any) -> Any:
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda sent: wrong.append(sent.url) if sent.url != file.as_uri() else None,
        )
        page.goto(file.as_uri())
        return page

    yield open_html
    for context in contexts:
        context.close()
    assert not wrong
