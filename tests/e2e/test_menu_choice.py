# SPDX-License-Identifier: GPL-3.0-or-later
"""The user of pc1 picks a rescue shell, "Back up" and later a restore in its menu, by keyboard.

Four boots: into the shell, from there into the backup, into the restore, and from there into its
own disk. Nobody starts a playbook; the job runner of the image server does.
"""

import json
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

from .control import Bench, jobs, versions

# Several boots of a PC: more than make test has time for.
pytestmark = pytest.mark.slow

BOOT_SECONDS = 300
MENU = "Back up this PC"
# An image that is no system of pc1, for the list to pick from.
SPARE = "spare"
# Where the docs show them; elsewhere unless somebody asks for new ones.
SCREENS = os.environ.get("SLIPWAY_SCREENS", "")


@pytest.fixture
def longer_menu(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """The lab's menu and, at its end, a list to pick from and a shell, each with a password."""
    noise = tmp_path / "noise.img"
    noise.write_bytes(os.urandom(2 << 20))
    bench = Bench(lab, tmp_path, "bench")
    bench.enter("backup", SPARE)
    bench.work("backup", str(noise), "--name", SPARE)
    bench.leave()
    items = yaml.safe_load((ROOT / "inventory/lab/group_vars/machines/slipway.yml").read_text())
    secret = {"password_hash": items["boot_menu_items"][-1]["password_hash"]}
    more = [
        {"id": "pick", "action": "restore", "title": "Pick an image", "images": ["pc1", SPARE]},
        {"id": "shell", "action": "rescue_shell"},
    ]
    wanted = {"boot_menu_items": [*items["boot_menu_items"], *(each | secret for each in more)]}
    options = f"-e {shlex.quote(json.dumps(wanted))}"
    assert run_playbook("menus", options=options, quiet=True).returncode == 0
    yield
    assert run_playbook("menus", quiet=True).returncode == 0


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
    pc.press(*["down"] * downs, "ret")


def type_password(pc: Pc, since: int) -> None:
    """Type a wrong one, then the right one."""
    pc.wait_for_serial("Password: ", since, timeout=BOOT_SECONDS)
    pc.type("open barley")
    pc.press("ret")
    pc.wait_for_serial("The password is wrong", since)
    time.sleep(3)
    pc.type("open sesame")
    pc.press("ret")


@pytest.mark.usefixtures("longer_menu")
def test_a_shell_a_backup_and_a_restore_from_the_menu(
    server: Server, pc1: Pc, tmp_path: Path
) -> None:
    before = versions(server, "pc1")
    known = {job["id"] for job in jobs(server)}

    # The first boot: the shell, for whoever knows its password.
    since = pc1.console_offset()
    assert pc1.power_on()
    pick(pc1, 4, since)
    type_password(pc1, since)
    assert "You are root" not in pc1.console(since)
    pc1.wait_for_serial("You are root", since)
    time.sleep(3)
    screen(pc1, "shell", tmp_path)
    left = pc1.console_offset()
    pc1.type("exit")
    pc1.press("ret")

    # The second one comes by itself: "Back up".
    pc1.wait_for_serial(MENU, left, timeout=BOOT_SECONDS)
    screen(pc1, "menu", tmp_path)
    since = pc1.console_offset()
    pc1.press("down", "ret")
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

    # The third boot: an image from the list, after the password.
    since = pc1.console_offset()
    assert pc1.power_on()
    pick(pc1, 3, since)
    type_password(pc1, since)
    pc1.wait_for_serial("Which image", since)
    pc1.wait_for_serial(rf"1  pc1\s+2  {SPARE}", since)
    pc1.wait_for_serial("Number: ", since)
    screen(pc1, "list", tmp_path)
    pc1.press("1", "ret")
    pc1.wait_for_serial("Pick an image: done", since, timeout=BOOT_SECONDS)
    assert "open sesame" not in pc1.console(since), "a password is never shown"

    # The fourth boot comes by itself: the menu, and then its own disk.
    pc1.press("ret")
    pc1.wait_for_own_disk(since, timeout=BOOT_SECONDS)
    # A disk that was not shut down cleanly is no good one to back up.
    pc1.shutdown()

    mine = [job for job in jobs(server) if job["id"] not in known]
    assert [(job["machine"], job["item"], job["image"], job["outcome"]) for job in mine] == [
        ("pc1", "shell", None, "done"),
        ("pc1", "backup", "pc1", "done"),
        ("pc1", "pick", "pc1", "done"),
    ]
    assert version in versions(server, "pc1")
    listed = run_playbook("jobs", quiet=True)
    assert mine[1]["id"] in listed.output
    said = run_playbook("jobs", variables={"job": mine[2]["id"]}, quiet=True)
    assert "Write what differs" in said.output
