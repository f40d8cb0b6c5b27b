# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC is saved, looked after and brought back by clicks alone; the browser sees only the lab.

SLIPWAY_SCREENS=FOLDER keeps the pictures; without it they lie in the test's own folder.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from slipway_lab.api import Lab, Pc, Server

from ..web.conftest import CHROMIUM
from .control import SPACE, admin, plug_in, versions
from .paging import PASSWORD, with_page

# It may build the lab, configures it three times, and boots a PC four times.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BOOT_SECONDS = 300
JOB_SECONDS = 900
ENDED = re.compile("^(done|failed|abandoned|cancelled|expired)$")


@dataclass
class Clerk:
    """Somebody before the page who only clicks and types."""

    page: Page
    url: str
    screens: Path
    taken: list[str] = field(default_factory=list)

    def sees(self, text: str | re.Pattern[str]) -> None:
        self.page.get_by_role("main").get_by_text(text).first.wait_for()

    def follows(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def presses(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def types(self, label: str | re.Pattern[str], text: str) -> None:
        self.page.get_by_label(label).fill(text)

    def confirms(self, text: str) -> None:
        self.types(re.compile("to confirm"), text)

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.screens / f"{len(self.taken):02}-{name}.png", full_page=True)
        self.taken.append(name)

    def opens(self, machine: str) -> None:
        """The page of a machine, from wherever one is."""
        self.page.get_by_role("navigation", name="Pages").get_by_role(
            "link", name="Machines"
        ).click()
        self.follows(machine)

    def awaits_the_end(self, name: str) -> None:
        """Look on, without a reload, until the job of this page has ended well."""
        state = self.page.get_by_role("region", name="How it goes").locator(".slipway-state")
        state.filter(has_text="running").wait_for(timeout=JOB_SECONDS * 1000)
        self.picture(f"{name}-runs")
        state.filter(has_text=ENDED).wait_for(timeout=JOB_SECONDS * 1000)
        self.picture(f"{name}-ended")
        said = self.page.get_by_role("main").inner_text()
        assert state.inner_text() == "done", said
        self.page.get_by_role("link", name="Again").wait_for()
        assert self.page.get_by_role("link", name="Cancel").count() == 0


def _said_by_ip(*words: str) -> list[dict[str, Any]]:
    said = subprocess.run(
        ["ip", "-json", "-n", SPACE, *words], capture_output=True, check=True
    ).stdout
    found: list[dict[str, Any]] = json.loads(said)
    return found


@pytest.fixture
def clerk(lab: Lab, tmp_path: Path) -> Iterator[Clerk]:
    """A browser in a namespace that has the lab's network and no other."""
    run = with_page(tmp_path)
    assert run.returncode == 0, run.output
    again = with_page(tmp_path)
    assert (again.returncode, again.changed) == (0, {}), again.output
    plug_in(lab)
    assert [each["dst"] for each in _said_by_ip("route")] == ["10.77.0.0/24"]
    # A browser gives up what it loads when an address of its machine comes to be.
    while any(each["addr_info"] for each in _said_by_ip("address", "show", "tentative")):
        time.sleep(0.1)
    chromium = tmp_path / "chromium"
    chromium.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{SPACE} -- {CHROMIUM} "$@"\n')
    chromium.chmod(0o755)
    screens = Path(os.environ.get("SLIPWAY_SCREENS") or tmp_path / "screens")
    screens.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # As root it has no sandbox of its own; the server's certificate is of a CA of its own.
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(60_000)
        yield Clerk(page, f"https://{lab.server.address}:8443", screens)
        browser.close()


def test_a_pc_is_saved_and_brought_back_by_clicks_alone(
    clerk: Clerk, server: Server, pc1: Pc
) -> None:
    _signs_in(clerk)
    for turn in ("first", "second"):
        _backs_up(clerk, pc1, turn)
    newest, older = versions(server, "pc1")[:2]
    _notes_and_holds(clerk, newest)
    _deletes_and_takes_back(clerk, older)
    assert {newest, older} <= set(versions(server, "pc1"))

    pc1.overwrite_disk()
    _restores(clerk, pc1, newest)
    since = pc1.console_offset()
    pc1.power_on()
    pc1.wait_for_own_disk(since, BOOT_SECONDS)
    pc1.shutdown()
    _reads_the_audit(clerk, server, newest, older)
    clerk.presses("Sign out")
    clerk.types("Name", "nobody")
    print(f"{len(clerk.taken)} pictures in {clerk.screens}")


def _signs_in(clerk: Clerk) -> None:
    clerk.page.goto(clerk.url)
    clerk.picture("sign-in")
    clerk.types("Name", "anna")
    clerk.types("Password", PASSWORD)
    clerk.presses("Sign in")
    clerk.page.get_by_role("heading", name="Overview").wait_for()
    clerk.picture("overview")


def _backs_up(clerk: Clerk, pc: Pc, turn: str) -> None:
    assert not pc.is_on
    clerk.opens(pc.name)
    clerk.follows("Back up")
    clerk.sees("Nothing is done before you confirm it.")
    clerk.picture(f"{turn}-backup-plan")
    clerk.presses("Back up")
    clerk.awaits_the_end(f"{turn}-backup")
    pc.wait_until_off()


def _notes_and_holds(clerk: Clerk, version: str) -> None:
    clerk.follows("Images")
    clerk.follows("pc1")
    clerk.follows(version)
    clerk.follows("Note")
    clerk.types("Note", "before the exams")
    clerk.presses("Note something of a version")
    clerk.sees("before the exams")
    clerk.follows("Hold")
    clerk.types("Reason", "exams")
    clerk.presses("Hold a version")
    clerk.sees("held: exams")
    clerk.picture("noted-and-held")


def _deletes_and_takes_back(clerk: Clerk, version: str) -> None:
    clerk.follows("pc1")
    clerk.follows(version)
    clerk.follows("Delete")
    clerk.types("Reason", "too old")
    clerk.confirms(f"pc1@{version}")
    clerk.picture("deletes")
    clerk.presses("Delete a version")
    clerk.sees("too old")
    clerk.picture("in-the-trash")
    clerk.follows("Take back")
    clerk.presses("Take a version back")
    clerk.page.get_by_role("heading", name=f"pc1@{version}").wait_for()
    clerk.picture("taken-back")


def _restores(clerk: Clerk, pc: Pc, version: str) -> None:
    clerk.opens(pc.name)
    clerk.follows("Restore")
    for text in (f"pc1@{version}", pc.machine.disk.serial, "All that is on the disks below"):
        clerk.sees(text)
    clerk.confirms("pc1")
    clerk.picture("restore-plan")
    clerk.presses("Restore")
    clerk.awaits_the_end("restore")
    pc.wait_until_off()


def _reads_the_audit(clerk: Clerk, server: Server, newest: str, older: str) -> None:
    clerk.follows("Audit")
    clerk.picture("audit")
    _, answer = admin(server, "GET", "/v1/audit?most=100")
    mine = [each for each in answer["lines"] if each["who"] == "anna"]
    assert {(each["role"], each["where"], each["outcome"]) for each in mine} == {
        ("admin", "page, 10.77.0.9", "done")
    }
    assert [(each["verb"], each["subject"]) for each in mine] == [
        ("order a job", "pc1"),
        ("order a job", "pc1"),
        ("say something of an image", f"pc1@{newest}"),
        ("say something of an image", f"pc1@{newest}"),
        ("delete a version", f"pc1/{older}"),
        ("undelete", f"pc1@{older}"),
        ("order a job", "pc1"),
    ]
    for verb in {each["verb"] for each in mine}:
        clerk.sees(verb)
