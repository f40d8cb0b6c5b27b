# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as people see it: a real service, page and nginx, and Debian's Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from ..unit.server.conftest import Service
from ..unit.server.reader_beside import POSSIBLE, Beside
from ..unit.web.conftest import Page
from ..unit.web.front import Front
from .house import House
from .school import make_school

# What draws, runs scripts and asks in Chromium, without the windows, which take half the time.
CHROMIUM = "/usr/bin/chromium-headless-shell"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for each in items:
        if each.path.is_relative_to(here):
            each.add_marker(pytest.mark.web)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; no name leads out of this machine."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # As root it has no sandbox of its own.
            chromium_sandbox=os.geteuid() != 0,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield made
        made.close()


@contextmanager
def open_house(chromium: Browser, folder: Path) -> Iterator[House]:
    """A school, the page before its service, and nginx before that."""
    place = folder / "service"
    place.mkdir()
    # Nobody hears from its machine and its runner for as long as the tests take.
    patient = {"silent_seconds": 7200, "runner_silent_seconds": 7200, "upkeep_seconds": 0}
    with ExitStack() as ends:
        places = {"policy_dir": "policy", "media_dir": "media", "reader_socket": "reader"}
        settings = {key: str(place / name) for key, name in places.items()}
        service = Service(place, **settings, **patient)
        ends.callback(service.close)
        if POSSIBLE:
            ends.callback(Beside(service).close)
        school = make_school(service)
        page = Page(folder / "page", service)
        # Its memory is looked at.
        page.before = ()
        ends.callback(page.start().close)
        (folder / "front").mkdir()
        front = Front(page, folder / "front")
        ends.callback(front.close)
        yield House(school, page, front, chromium)


@pytest.fixture(scope="session")
def house(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The one that tests only look at."""
    with open_house(chromium, tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
def own_house(chromium: Browser, tmp_path: Path) -> Iterator[House]:
    """One that a test may change and break."""
    with open_house(chromium, tmp_path) as made:
        yield made
