# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as people see it: a real service, page and nginx, and Debian's Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from unit.server.conftest import Service
from unit.web.conftest import USERS, Page
from unit.web.front import Front

from .house import House
from .school import School, make_school

CHROMIUM = "/usr/bin/chromium"
BY_ROLE = {role: name for name, role in USERS.items()}


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


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    """The service, filled."""
    folder = tmp_path_factory.mktemp("service")
    # Nobody heard from its machine and its runner for as long as the tests take.
    patient = {"silent_seconds": 7200, "runner_silent_seconds": 7200, "upkeep_seconds": 0}
    service = Service(folder, policy_dir=str(folder / "policy"), **patient)
    try:
        yield make_school(service)
    finally:
        service.close()


@pytest.fixture(scope="session")
def house(
    school: School, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """The page before that service, behind nginx."""
    page = Page(tmp_path_factory.mktemp("page") / "page", school.service).start()
    front = Front(page, tmp_path_factory.mktemp("front"))
    yield House(school, page, front, chromium)
    front.close()
    page.close()
