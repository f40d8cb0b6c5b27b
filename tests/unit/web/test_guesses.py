# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever guesses passwords is told of: once, by the page and by menus of PCs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_server.choices.guesses import Guesses

from ..server.choosing import item, make_chooser, password_hash
from ..server.conftest import Service
from ..server.test_schedules import wait_for
from ..server.test_telling import admit, of_kind
from .conftest import Browser, Page

KIND = "login_paused"


@pytest.fixture
def guessed(tmp_path: Path) -> Iterator[Page]:
    """A page of its own, before a service that looks every second what there is to tell."""
    (tmp_path / "service").mkdir()
    service = Service(tmp_path / "service", tell_seconds=1).start()
    made = Page(tmp_path / "page", service)
    admit(service, "mail")
    yield made.start()
    made.close()
    service.close()


def guess(page: Page, name: str, address: str, times: int) -> list[int]:
    browser = Browser(page, address)
    return [browser.sign_in(name, f"guess {each}").status_code for each in range(times)]


def test_guesses_at_an_account_are_told_once(guessed: Page) -> None:
    service = guessed.service
    assert guess(guessed, "anna", "10.9.0.1", 4) == [403] * 4
    time.sleep(1.5)
    assert of_kind(service, KIND) == [], "somebody mistypes"
    guess(guessed, "anna", "10.9.0.2", 3)
    [told] = wait_for(lambda: of_kind(service, KIND))
    assert told["subject"] == "somebody guesses passwords"
    assert told["lines"] == [
        "sign-ins of anna at the page, from 10.9.0.2: too many wrong ones",
    ]
    # It goes on, from elsewhere and through a restart of the service, and is the same thing.
    service.restart()
    for number in range(3):
        time.sleep(1.2)
        guess(guessed, "anna", f"10.9.0.{number + 3}", 1)
    time.sleep(1.5)
    assert len(of_kind(service, KIND)) == 1


def test_guesses_from_an_address_are_told_without_what_was_typed_as_a_name(guessed: Page) -> None:
    for number in range(20):
        guess(guessed, f"secret word {number}", "10.9.1.1", 1)
    [told] = wait_for(lambda: of_kind(guessed.service, KIND))
    assert told["lines"] == ["sign-ins at the page from 10.9.1.1: too many wrong ones"]
    guess(guessed, "nobody", "10.9.1.2", 8)
    time.sleep(1.5)
    assert len(of_kind(guessed.service, KIND)) == 1, "there is no such account"


def test_a_service_that_is_down_holds_no_sign_in_up(guessed: Page) -> None:
    guessed.service.stop()
    began = time.monotonic()
    assert guess(guessed, "otto", "10.9.2.1", 6)[0] == 403
    assert time.monotonic() - began < 5
    assert "Traceback" not in guessed.journal()
    guessed.service.start()
    admit(guessed.service, "mail")
    time.sleep(2.5)
    guess(guessed, "otto", "10.9.2.1", 1)
    [told] = wait_for(lambda: of_kind(guessed.service, KIND))
    assert "otto" in told["lines"][0]


def test_guesses_at_the_menu_of_a_pc_are_told_once(guessed: Page) -> None:
    service = guessed.service
    pc = make_chooser(service, item("b", "backup", image="x", password_hash=password_hash()))
    for number in range(3):
        pc.choose("b", password=f"guess {number}")
        time.sleep(1.05)
    time.sleep(1)
    assert of_kind(service, KIND) == [], "somebody mistypes"
    for number in range(20):
        pc.choose("b", password=f"guess {number}")
    [told] = wait_for(lambda: of_kind(service, KIND))
    assert told["lines"][0].startswith(f"passwords at the menu of {pc.name}, from ")
    time.sleep(1.5)
    assert len(of_kind(service, KIND)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"account": "anna"},
        {"account": "an na", "address": "10.9.0.1"},
        {"account": None, "address": "the \x1b[2Jaddress"},
        {"account": None, "address": "10.9.0.1", "more": 1},
    ],
)
def test_what_the_page_can_not_say(page: Page, body: dict[str, object]) -> None:
    assert page.service.web.post("/v1/guesses", json=body).status_code == 422


def test_guesses_are_new_after_an_hour_without_and_are_not_endless() -> None:
    now = 0.0
    guesses = Guesses(["account anna"], lambda: now)
    now = 3000.0
    guesses.at_page("anna", "10.9.0.1")
    now = 6000.0
    assert list(guesses.slowed()) == ["account anna"]
    now = 6601.0
    assert guesses.slowed() == {}
    for number in range(3000):
        guesses.at_page(None, f"10.9.{number >> 8}.{number & 255}")
    assert len(guesses.slowed()) == 1000
