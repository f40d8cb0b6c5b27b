# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody is offered what he would be refused: each page, for each role, with and without groups."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from slipway_web.app import PAGES
from slipway_web.config import ROLES
from slipway_web.pages.acts import ACTS

from ..server.choosing import password_hash
from ..server.reader_beside import POSSIBLE
from ..server.test_groups import World, make_world
from .conftest import Browser, Page
from .offers import offers
from .test_groups import places

PASSWORD = "as everybody here has"
# Who may most comes last: what he removes nobody misses.
WHO = list(product(ROLES, (["room_a"], None)))
# What takes something away from the others that are done, last.
LAST = ("undelete", "delete", "rename", "cancel", "end-session", "remove-download")
# What is typed; a name that is taken is refused as such, and not for who asks.
TYPED = {"copy": "mine-pc", "rename": "mine-pc", "point": "an-alias"}
# Without an end, of all that was typed, and what ends the visit.
LEFT_OUT = ("/live", "/sign-in", "/sign-out", "/account")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("service")) as made:
        yield made


def _name(role: str, groups: list[str] | None) -> str:
    return f"{role}-of-{'a-room' if groups else 'all'}"


@pytest.fixture
def page(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    users = [
        {"name": _name(role, groups), "role": role, "password_hash": password_hash(PASSWORD)}
        | ({"groups": groups} if groups else {})
        for role, groups in WHO
    ]
    made = Page(tmp_path_factory.mktemp("page") / "page", world.service, users=users)
    yield made.start()
    made.close()


def _seen(browser: Browser, world: World) -> tuple[dict[str, str], set[str]]:
    """All pages that somebody comes to by clicks; those that were offered and refused."""
    known = places(world.mine)
    paths = [line.split(" ")[1] for line in PAGES if line.startswith("GET ")]
    ahead = {known.get(path, path) for path in paths} | {"/images/lab-base"}
    pages, refused, offered = dict[str, str](), set[str](), set[str]()
    while ahead:
        path = ahead.pop()
        if path in pages or path.startswith(LEFT_OUT):
            continue
        answer = browser.get(path)
        assert answer.status_code < 500, answer.text
        pages[path] = answer.text
        if answer.status_code == 403:
            # What nobody offers may be refused.
            refused.add(path)
            continue
        found = {each for each in offers(path, answer.text)[0] if "sort=" not in each}
        offered |= found
        ahead |= found
    return pages, refused & offered


def _buttons(pages: dict[str, str]) -> list[tuple[str, str]]:
    """What can be done, and on which page."""
    found = {
        (form.action, path)
        for path, text in pages.items()
        for form in offers(path, text)[1]
        if not form.action.startswith(LEFT_OUT)
    }
    order = [f"/act/{name}" for name in LAST]
    return sorted(found, key=lambda each: (order.index(each[0]) if each[0] in order else -1, *each))


def _press(browser: Browser, action: str, path: str) -> set[int]:
    """Do it, as its page shows it now."""
    act = ACTS.get(action.removeprefix("/act/"))
    about = ("machine",) if act is None else act.about
    answers = set()
    for form in offers(path, browser.get(path).text)[1]:
        for said in map(dict, form.sends() if form.action == action else []):
            typed = {
                "typed": "@".join(filter(None, (said[key] for key in about))),
                "text": TYPED.get(act.name, "") if act else "",
            }
            said |= {key: text for key, text in typed.items() if key in said}
            answers.add(browser.post(action, said).status_code)
    return answers


@pytest.mark.parametrize(
    "people",
    [
        pytest.param([WHO[2], WHO[3], WHO[-1]], id="operators and who may most"),
        pytest.param(WHO, id="everybody", marks=pytest.mark.slow),
    ],
)
def test_nobody_is_offered_what_he_is_refused(
    page: Page, world: World, people: list[tuple[str, list[str] | None]]
) -> None:
    wrong, did = [], set[str]()
    for role, groups in people:
        who = _name(role, groups)
        browser = Browser(page)
        assert browser.sign_in(who, PASSWORD).status_code == 303
        pages, refused = _seen(browser, world)
        wrong += [f"{who}: {path}" for path in sorted(refused)]
        for action, path in _buttons(pages):
            answers = _press(browser, action, path)
            did |= {action} if 303 in answers else set()
            if answers - {303, 409}:
                wrong.append(f"{who}: {action} on {path}: {answers}")
    assert wrong == []
    # Each was done by somebody, but for names that are taken and a schedule without a window.
    no_reader = set() if POSSIBLE else {"/act/fetch", "/act/remove-download"}
    taken = {"/act/copy", "/act/rename", "/act/skip"}
    assert {f"/act/{name}" for name in ACTS} | {"/order"} == did | taken | no_reader
