"""The user of pc1 picks "Back up" and later "Restore" in its menu, with the keyboard.

Three boots: into the backup, into the restore, and from there into its own disk. Nobody starts a
playbook; the job runner of the image server does.
"""

import os
import time
from pathlib import Path

import pytest
from e2e.control import admin, versions
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

# Several boots of a PC: more than make test has time for.
pytestmark = pytest.mark.slow

BOOT_SECONDS = 300
MENU = "Back up this PC"
# Where the docs show them; elsewhere unless somebody asks for new ones.
SCREENS = os.environ.get("SLIPWAY_SCREENS", "")


def screen(pc: Pc, name: str, folder: Path) -> Path:
    """Take a picture that shows something; return its file."""
    target = (ROOT / SCREENS if SCREENS else folder) / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    pc.screenshot(target)
    assert target.stat().st_size > 1000
    return target


def pick(pc: Pc, downs: int, since: int) -> None:
    """Wait for the menu and pick the item that is so many lines below the default."""
    pc.wait_for_serial(MENU, since, timeout=BOOT_SECONDS)
    # Any key stops the menu's own time.
    pc.press(*["down"] * downs)


def jobs(server: Server) -> list[dict[str, str]]:
    status, answer = admin(server, "GET", "/v1/jobs")
    assert status == 200
    found: list[dict[str, str]] = answer["jobs"]
    return found


def test_back_up_and_restore_from_the_menu(
    lab: Lab, server: Server, pc1: Pc, tmp_path: Path
) -> None:
    before = versions(server, "pc1")
    known = {job["id"] for job in jobs(server)}

    # The first boot: "Back up".
    since = pc1.console_offset()
    assert pc1.power_on()
    pick(pc1, 1, since)
    screen(pc1, "menu", tmp_path)
    pc1.press("ret")
    pc1.wait_for_serial(r"backup .*%", since, timeout=BOOT_SECONDS)
    picture = screen(pc1, "progress", tmp_path)
    pc1.wait_for_serial("Back up this PC: done", since, timeout=BOOT_SECONDS)
    time.sleep(2)
    done = screen(pc1, "result", tmp_path)
    assert picture.read_bytes() != done.read_bytes(), "the screen must have moved on"
    assert "PC restarts" in pc1.console(since)
    [version] = set(versions(server, "pc1")) - set(before)

    # Its disk is destroyed while it is off.
    pc1.cut_power()
    pc1.overwrite_disk()

    # The second boot: "Restore", which asks for a password on the screen.
    since = pc1.console_offset()
    assert pc1.power_on()
    pick(pc1, 2, since)
    pc1.press("ret")
    pc1.wait_for_serial("Password: ", since, timeout=BOOT_SECONDS)
    pc1.type("open barley")
    pc1.press("ret")
    pc1.wait_for_serial("The password is wrong", since)
    time.sleep(3)
    pc1.type("open sesame")
    pc1.press("ret")
    pc1.wait_for_serial("Restore this PC: done", since, timeout=BOOT_SECONDS)
    assert "open sesame" not in pc1.console(since), "a password is never shown"

    # The third boot comes by itself: the menu, and then its own disk.
    pc1.press("ret")
    pc1.wait_for_own_disk(since, timeout=BOOT_SECONDS)

    mine = [job for job in jobs(server) if job["id"] not in known]
    assert [(job["machine"], job["item"], job["outcome"]) for job in mine] == [
        ("pc1", "backup", "done"),
        ("pc1", "restore", "done"),
    ]
    assert version in versions(server, "pc1")
    listed = run_playbook("jobs", quiet=True)
    assert mine[0]["id"] in listed.output
    said = run_playbook("jobs", variables={"job": mine[1]["id"]}, quiet=True)
    assert "Write what differs" in said.output
