"""Chromium as tests drive it: which one, how it is started, and a window that minds its console."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
Page = sync_api.Page

CHROMIUM = shutil.which(os.environ.get("CHROMIUM", "chromium"))
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: What a step may take, in milliseconds, as playwright counts.
SECONDS = 20_000


class Visit:
    """One browser window that fails the test on an error in its console, and keeps pictures."""

    def __init__(self, context, base: str, folder: Path) -> None:
        context.set_default_timeout(SECONDS)
        self.base = base
        self.folder = folder
        self.errors: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        # What comes from elsewhere is no asset of ours.
        self.page.on("request", lambda asked: None if asked.url.startswith(base) else self.errors.append(asked.url))

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def keep(self, name: str) -> None:
        self.page.screenshot(path=str(self.folder / f"{name}.png"), full_page=True)
