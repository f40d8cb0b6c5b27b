# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page for each role: light and dark, on a wide screen and a telephone."""

from __future__ import annotations

import pytest
from slipway_web.app import PAGES
from slipway_web.config import ROLES

from ..unit.server.reader_beside import POSSIBLE
from ..unit.web.conftest import USERS
from .house import PHONE, WIDE, House, Visit

SCREENS = {"wide": WIDE, "phone": PHONE}
ALL = [(screen, theme) for screen in SCREENS for theme in ("light", "dark")]
# `make test` sees each page of each role light and dark, on another screen each; `make test-slow`
# all four.
SOME = [("wide", "light"), ("phone", "dark")]

# Without an end, for nobody who is signed in, and a file.
NO_PAGES = {"/live", "/sign-in", "/downloads/{download}/file"}
if not POSSIBLE:
    NO_PAGES |= {"/act/fetch"}
BY_ROLE = {role: name for name, role in USERS.items()}


def _paths(house: House, role: str) -> list[str]:
    known = house.school.paths()
    found = []
    for line, page in PAGES.items():
        method, path = line.split(" ")
        may = page.role is None or ROLES.index(role) >= ROLES.index(page.role)
        if method == "GET" and may and path not in NO_PAGES:
            found.append(known.get(path, path))
    return [*found, f"/jobs/{house.school.failed}", "/machines?q=nobody-has-this", "/nothing"]


@pytest.mark.parametrize(
    ("role", "looks"),
    [
        *(pytest.param(role, SOME, id=role) for role in ROLES),
        *(pytest.param(role, ALL, id=f"{role}-all", marks=pytest.mark.slow) for role in ROLES),
    ],
)
def test_nothing_is_wrong_with_any_page(
    house: House, role: str, looks: list[tuple[str, str]]
) -> None:
    wrong = []
    with house.visit(BY_ROLE[role]) as visit:
        for path in _paths(house, role):
            visit.go(path)
            wrong += [f"{path}: {each}" for each in _look(visit, f"{role}{path}", looks)]
    assert wrong == []


def test_nor_with_the_one_before_them(house: House) -> None:
    with house.visit() as visit:
        visit.go("/sign-in")
        assert _look(visit, "nobody/sign-in", ALL) == []


def _look(visit: Visit, name: str, looks: list[tuple[str, str]]) -> list[str]:
    page, found = visit.page, []
    for screen, theme in looks:
        page.set_viewport_size(SCREENS[screen])
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(
            "theme => document.documentElement.dataset.bsTheme === theme", arg=theme
        )
        found += [f"{screen} {theme}: {each}" for each in visit.axe()]
        if (wider := visit.overflow()) > 0:
            found.append(f"{screen}: {wider} pixels wider than the screen")
    said, visit.seen[:] = list(visit.seen), []
    status = "404" if name.endswith("/nothing") else ""
    return found + [each for each in said if not (status and status in each)]
