"""MLflow's pages in a headless browser, and pictures of them for the documents."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, sync_playwright
from tracking import SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_BROWSER = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.slow,
    pytest.mark.heavy,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@contextmanager
def opened(width: int, height: int) -> Iterator[Page]:
    """Open a page of a browser, which ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(SECONDS * 1000)
        yield page
        browser.close()


def keep_picture(page: Page, name: str, size: ViewportSize | None = None) -> None:
    """Keep a picture as ``mlflow_NAME.png`` where ``PICTURES`` names a folder for them."""
    if kept := os.environ.get("PICTURES"):
        if size is not None:
            page.set_viewport_size(size)
        page.wait_for_timeout(1000)  # what moves comes to rest
        page.screenshot(path=Path(kept) / f"mlflow_{name}.png")


def without_assistant(page: Page, server: str, experiment: str) -> None:
    """Close the assistant that MLflow shows beside the pages of an experiment."""
    page.goto(f"{server}/#/experiments/{experiment}/datasets")
    page.get_by_role("button", name="Close").last.click()
