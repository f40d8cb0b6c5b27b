# SPDX-License-Identifier: GPL-3.0-or-later
"""Each action once, by clicks and typing alone, in a browser that runs no script."""

from __future__ import annotations

import re

import pytest
from slipway_web.pages.acts import ACTS

from ..unit.server.reader_beside import POSSIBLE
from ..unit.web.conftest import PASSWORDS
from .house import House, Visit
from .school import ROOM


class Person:
    """Somebody before a browser."""

    def __init__(self, visit: Visit) -> None:
        self.visit, self.page = visit, visit.page
        self.done: set[str] = set()

    def sees(self, text: str) -> None:
        self.page.get_by_role("main").get_by_text(text).first.wait_for()

    def follows(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def looks_until(self, link: str) -> None:
        """Look again until a link is there."""
        for _ in range(600):
            if self.page.get_by_role("link", name=link, exact=True).count():
                return
            self.page.wait_for_timeout(200)
            self.follows("Look again")
        raise AssertionError(self.page.get_by_role("main").inner_text())

    def presses(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def types(self, label: str | re.Pattern[str], text: str) -> None:
        self.page.get_by_label(label).fill(text)

    def acts(self, name: str, link: str, text: str = "", typed: str = "") -> None:
        """Follow a link to an action's page, fill its form, and press its button."""
        act = ACTS[name]
        self.follows(link)
        self.sees(act.effect)
        if text:
            assert act.text
            self.types(act.text, text)
        if typed:
            self.types(re.compile("to confirm"), typed)
        self.presses(act.title)
        assert f"/act/{name}" not in self.page.url, self.page.get_by_role("main").inner_text()
        self.done.add(name)

    def orders(self, path: str, verb: str, typed: str = "") -> None:
        self.visit.go(path)
        self.follows(verb)
        self.sees("Nothing is done before you confirm it.")
        if typed:
            self.types(re.compile("to confirm"), typed)
        self.presses(verb)
        self.sees("queued")


@pytest.mark.skipif(not POSSIBLE, reason="needs root and what exports are made with")
def test_each_action_once(own_house: House) -> None:
    house = own_house
    with house.visit(script=False) as visit:
        person = Person(visit)
        visit.go("/")
        person.types("Name", "anna")
        person.types("Password", PASSWORDS["anna"])
        person.presses("Sign in")
        _orders(person)
        _of_versions(person, house)
        _of_files(person, house)
        _of_images(person)
        _of_jobs(person, house)
        _of_a_boot(person)
        _of_schedules(person)
        _of_the_rest(person)
        assert person.done == set(ACTS)
        person.presses("Sign out")
        person.types("Name", "nobody")
    told = house.school.service.admin.get("/v1/audit", params={"most": 1000}).json()["lines"]
    mine = [each for each in told if each["where"] == "page, 127.0.0.1"]
    assert {each["who"] for each in mine} == {"anna"}
    assert len(mine) >= len(ACTS) + 4
    assert {each["outcome"] for each in mine} == {"done"}


def _orders(person: Person) -> None:
    for machine, verb in ((ROOM[6], "Back up"), (ROOM[7], "Verify"), (ROOM[8], "Wake")):
        person.orders(f"/machines/{machine}", verb)
    person.orders(f"/machines/{ROOM[9]}", "Restore", ROOM[9])
    # And several at once, from the list.
    person.visit.go("/machines")
    for name in ("reception", "cad-lab"):
        person.page.get_by_label(f"Mark {name}").check()
    person.presses("Back up the marked")
    person.presses("Back up")
    assert person.page.get_by_text("queued").count() == 2


def _of_versions(person: Person, house: House) -> None:
    image = "reception"
    versions = house.school.service.admin.get(f"/v1/images/{image}").json()["versions"]
    version = versions[4]["version"]
    person.visit.go(f"/images/{image}")
    person.follows(version)
    person.acts("check", "Check")
    person.acts("note", "Note", "before the update")
    person.sees("before the update")
    person.acts("hold", "Hold", "exams")
    person.sees("held: exams")
    person.acts("release", "Let go")
    person.acts("copy", "Copy", "front-desk")
    person.visit.go(f"/images/{image}/{version}")
    person.acts("point", "Alias", "desk")
    person.visit.go("/images")
    person.acts("drop-alias", "alias desk")
    person.visit.go(f"/images/{image}/{version}")
    person.acts("delete", "Delete", "old", f"{image}@{version}")
    person.sees(version)
    person.acts("undelete", "Take back")
    person.sees("before the update")


def _of_files(person: Person, house: House) -> None:
    image, version = house.school.kiosk
    person.visit.go(f"/images/{image}/{version}")
    person.follows("Files")
    person.looks_until("Documents/")
    person.follows("Documents/")
    person.looks_until("Fetch plan.odt")
    person.acts("fetch", "Fetch plan.odt")
    _saves(person, "plan.odt", 70_000)
    person.visit.go(f"/images/{image}/{version}")
    # Its link is a form's button: which disk, and as what.
    person.page.get_by_label("as", exact=True).select_option("vmdk")
    person.presses("Export")
    person.presses(ACTS["export"].title)
    person.done.add("export")
    _saves(person, f"{image}-{version}-disk0.vmdk", 0)
    person.acts("remove-download", "Remove")
    person.sees("Documents/plan.odt")


def _saves(person: Person, name: str, size: int) -> None:
    """Look again until it is ready, then save it."""
    person.looks_until(f"Save {name}")
    with person.page.expect_download() as saved:
        person.follows(f"Save {name}")
    assert saved.value.suggested_filename == name
    assert saved.value.path().stat().st_size >= size


def _of_images(person: Person) -> None:
    person.visit.go("/images/front-desk")
    person.acts("rename", "Rename", "desk-of-old", "front-desk")
    person.sees("desk-of-old")


def _of_jobs(person: Person, house: House) -> None:
    person.visit.go(f"/jobs/{house.school.running}")
    person.acts("cancel", "Cancel")
    person.sees("cancelled")
    made = house.school.service.machine(machine=ROOM[10], mac="3c:52:82:10:00:0a", arrived=False)
    assert made.check_in().status_code == 200
    person.visit.go(f"/machines/{ROOM[10]}")
    person.acts("end-session", "End its session")


def _of_a_boot(person: Person) -> None:
    person.visit.go(f"/machines/{ROOM[11]}")
    person.acts("boot", "Boot backup once")
    person.acts("unboot", "Take the boot back")
    person.sees("its menu")


def _of_schedules(person: Person) -> None:
    person.visit.go("/schedules")
    person.follows("check")
    person.acts("pause", "Pause", "2100-01-01")
    person.sees("2100-01-01")
    person.acts("skip", "Leave a window out")
    person.acts("run", "Run now")


def _of_the_rest(person: Person) -> None:
    person.visit.go("/registrations")
    person.acts("approve", "Approve", "room3-pc13")
    person.sees("to be room3-pc13")
    person.acts("refuse", "Refuse", "not ours")
    person.sees("refused")
    person.visit.go("/store")
    person.acts("collect", "Collect now")
    person.acts("prune", "Prune")
    person.sees("Nothing:")
    person.visit.go("/account")
    person.presses("Dark")
    assert person.page.locator("html[data-bs-theme=dark]").count() == 1
