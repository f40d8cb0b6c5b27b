# SPDX-License-Identifier: GPL-3.0-or-later
"""What an administrator ordered with boot_once happens once, wherever the PC loses its power.

The tests of this file run in their order. Before a restore the PC's disk holds an old system, which
is a boot sector that says so, and noise. It boots in seconds, and whatever of it or of the image's
own boot loader were in force on a half restored disk would be seen.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import run_playbook

from ..fixtures.boot_sector import boot_sector
from . import independent
from .control import admin, jobs, versions
from .disk_files import copy, sha256

pytestmark = pytest.mark.slow

BOOT_SECONDS = 300
# A playbook and the service give a machine that is cut off at work up after fifteen minutes.
SILENT_SECONDS = 1200
OLD_SYSTEM = boot_sector(b"THE-OLD-SYSTEM-RUNS")
LOCAL = "Booting the local disk"
# By what a disk holds, what is seen when it is booted.
SAYS = {
    "old": "THE-OLD-SYSTEM-RUNS",
    "half": "There is no system on the local disk that could be booted",
    "whole": "SLIPWAY-LAB host=pc1 marker=",
}


@dataclass(frozen=True)
class Boot:
    """A PC that was turned on by its button, and what it has said since then."""

    pc: Pc
    since: int

    @classmethod
    def begin(cls, pc: Pc) -> "Boot":
        boot = cls(pc, pc.console_offset())
        assert pc.power_on()
        return boot

    def says(self, regex: str) -> None:
        """Wait until it says something."""
        self.pc.wait_for_serial(regex, self.since, BOOT_SECONDS)

    @property
    def said(self) -> str:
        return self.pc.console(self.since)

    def shows_its_menu(self) -> None:
        """Wait for the menu, and for it to go on to the disk without anything else."""
        self.says(f"Slipway - {self.pc.name}")
        self.says(LOCAL)
        assert "/env/" not in self.said
        assert self.said.count(script(self.pc)) == 1


def script(pc: Pc) -> str:
    """What iPXE says when it has fetched its script."""
    return f"/boot/{pc.macs[0].replace(':', '-')}.ipxe... ok"


def until(done: Callable[[], bool], what: str, pause: float = 0.05) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(pause)


def give_order(pc: Pc, item: str, **more: str) -> None:
    run = run_playbook("boot_once", limit=pc.name, variables={"boot_item": item} | more, quiet=True)
    assert run.returncode == 0, run.output
    assert run.changed[pc.name]


def orders(server: Server, pc: Pc) -> list[dict[str, Any]]:
    _, answer = admin(server, "GET", "/v1/next-boots")
    return [each for each in answer["next_boots"] if each["machine"] == pc.name]


def jobs_of(server: Server, pc: Pc) -> list[dict[str, Any]]:
    return [each for each in jobs(server) if each["machine"] == pc.name]


def wait_for_the_end(server: Server, pc: Pc) -> dict[str, Any]:
    """Return the PC's last job when it has ended by itself."""
    deadline = time.monotonic() + SILENT_SECONDS
    while (job := jobs_of(server, pc)[-1])["state"] != "ended":
        assert time.monotonic() < deadline, job
        time.sleep(2)
    return job


def give_old_system(pc: Pc) -> None:
    pc.overwrite_disk()
    with pc.disk_path.open("r+b") as disk:
        disk.write(OLD_SYSTEM)


@pytest.fixture(scope="module")
def originals(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Copies of the disks as they were; the PCs get them back."""
    folder = tmp_path_factory.mktemp("originals")
    copies = {pc.name: copy(pc.disk_path, folder) for pc in lab.pcs}
    yield copies
    for pc in lab.pcs:
        pc.cut_power()
        copy(copies[pc.name], pc.disk_path.parent)


@pytest.mark.usefixtures("originals")
def test_an_ordered_backup_is_made_once(lab: Lab, server: Server) -> None:
    known = {pc.name: versions(server, pc.name) for pc in lab.pcs}
    before = {pc.name: len(jobs_of(server, pc)) for pc in lab.pcs}
    since = {pc.name: pc.console_offset() for pc in lab.pcs}
    power = lab.power_log_offset()
    for pc in lab.pcs:
        give_order(pc, "backup", wake="true")
    woken = {each.pc for each in lab.power_events(power) if each.action == "turned on"}
    assert woken == {pc.name for pc in lab.pcs}
    for pc in lab.pcs:
        pc.wait_for_serial("Back up this PC: done", since[pc.name], BOOT_SECONDS)
        assert len(versions(server, pc.name)) == len(known[pc.name]) + 1
        [job] = jobs_of(server, pc)[before[pc.name] :]
        assert (job["origin"], job["item"], job["outcome"]) == ("next_boot", "backup", "done")

    # It restarts by itself, into its menu and its own disk.
    [pc1, pc2] = lab.pcs
    pc2.cut_power()
    done = pc1.console_offset()
    pc1.press("ret")
    pc1.wait_for_serial("Slipway - pc1", done, BOOT_SECONDS)
    pc1.wait_for_own_disk(done, BOOT_SECONDS)
    pc1.cut_power()

    # And a minute later its user switches it on.
    for pc in lab.pcs:
        Boot.begin(pc).shows_its_menu()
        assert len(jobs_of(server, pc)) == before[pc.name] + 1
        pc.cut_power()


@pytest.mark.usefixtures("originals")
def test_an_ordered_item_that_needs_no_environment(pc1: Pc) -> None:
    give_old_system(pc1)
    give_order(pc1, "local")
    ordered = Boot.begin(pc1)
    ordered.says(SAYS["old"])
    assert "Slipway - pc1" not in ordered.said, "an order leads past the menu"
    pc1.cut_power()
    plain = Boot.begin(pc1)
    plain.shows_its_menu()
    plain.says(SAYS["old"])


@dataclass(frozen=True)
class Step:
    """Where the power is cut; what the order and the disk may be like afterwards."""

    wait: Callable[[Boot, Path], None]
    outcome: str
    disk: frozenset[str]


def _begun(boot: Boot, original: Path) -> None:
    """The first write puts the old boot sector out of force."""
    disk = boot.pc.disk_path
    until(lambda: independent.sector(disk, 0) != OLD_SYSTEM, "the first write")


def _at_the_table(boot: Boot, original: Path) -> None:
    """Tables of logical partitions come back right before the boot sector does."""
    disk, ranges = boot.pc.disk_path, independent.ebr_sectors(original)
    assert ranges
    until(lambda: not independent.differing(original, disk, ranges), "the table", pause=0.001)


def _left(boot: Boot, original: Path) -> None:
    """The PC has restarted by itself and shows its menu."""
    boot.says("Restore this PC: done")
    done = boot.pc.console_offset()
    boot.pc.press("ret")
    boot.pc.wait_for_serial("Slipway - pc1", done, BOOT_SECONDS)


def _says(regex: str) -> Callable[[Boot, Path], None]:
    return lambda boot, _: boot.says(regex)


OLD, HALF, WHOLE = frozenset({"old"}), frozenset({"half"}), frozenset({"whole"})
STEPS = {
    "it was told": Step(lambda boot, _: boot.says(re.escape(script(boot.pc))), "served", OLD),
    "it loads the environment": Step(_says(r"/env/vmlinuz\.\.\. ok"), "served", OLD),
    "the environment starts": Step(_says(r"/env/site\.cpio\.\.\. ok"), "served", OLD),
    "it has asked": Step(_says("Waiting for its turn|It is this PC's turn"), "used", OLD),
    "its session began": Step(_says("waiting for the server"), "used", OLD),
    "the first write": Step(_begun, "used", HALF),
    "in the middle": Step(_says(r"restore .* [4-7]\d\.\d%"), "used", HALF),
    "at the table": Step(_at_the_table, "used", HALF | WHOLE),
    "the result": Step(_says("Restore this PC: done"), "used", WHOLE),
    "it has left": Step(_left, "used", WHOLE),
}


def look_at(disk: Path, original: Path) -> str:
    """Return what a disk holds: the old system, half of the image, or all of it."""
    if independent.sector(disk, 0) == OLD_SYSTEM:
        return "old"
    if not independent.can_boot(disk):
        return "half"
    ranges = independent.used_ranges(original)
    assert independent.differing(original, disk, ranges) == [], "it would boot half a system"
    return "whole"


@pytest.mark.timeout(BOOT_SECONDS + SILENT_SECONDS)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.replace(" ", "-"))
def test_after_a_power_cut_the_pc_gets_its_menu_and_no_half_system(
    server: Server, pc1: Pc, originals: dict[str, Path], step: str
) -> None:
    wanted = STEPS[step]
    if wanted.disk != WHOLE:
        give_old_system(pc1)
    before, known = sha256(pc1.disk_path), len(jobs_of(server, pc1))
    give_order(pc1, "restore", without_password="true")
    boot = Boot.begin(pc1)
    wanted.wait(boot, originals["pc1"])
    pc1.cut_power()
    assert "Password:" not in boot.said, "this order needs no password"
    state = look_at(pc1.disk_path, originals["pc1"])
    assert state in wanted.disk
    assert state != "old" or sha256(pc1.disk_path) == before
    assert orders(server, pc1)[-1]["outcome"] == wanted.outcome

    # Its user turns it on again at once, when the server may not know yet that it was off.
    again = Boot.begin(pc1)
    again.shows_its_menu()
    again.says(SAYS[state])
    pc1.cut_power()
    made = jobs_of(server, pc1)[known:]
    assert [(job["item"], job["origin"]) for job in made] == [
        ("restore", "next_boot") for _ in range(wanted.outcome == "used")
    ]
    if step == "in the middle":
        ended = wait_for_the_end(server, pc1)
        assert (
            ended["outcome"] == "abandoned"
            and "was lost while the agent worked" in ended["message"]
        )
    elif made:
        # The server would find out by itself, as above; the next step need not wait for it.
        admin(server, "DELETE", f"/v1/jobs/{made[0]['id']}")
        assert (made[0]["outcome"] == "done") is (wanted.disk == WHOLE)
    assert orders(server, pc1)[-1]["state"] == "ended"


def test_half_a_restore_of_a_uefi_pc(pc2: Pc, originals: dict[str, Path]) -> None:
    """Its old system is a boot loader on the EFI system partition, which finds only noise."""
    _, root, swap = independent.partitions(pc2.disk_path)
    with pc2.disk_path.open("r+b") as disk:
        disk.seek(root.start)
        disk.write(os.urandom(root.size + swap.size))
    assert independent.can_boot(pc2.disk_path)
    give_order(pc2, "restore", without_password="true")
    boot = Boot.begin(pc2)
    boot.says(r"restore .* [4-7]\d\.\d%")
    pc2.cut_power()
    assert look_at(pc2.disk_path, originals["pc2"]) == "half"
    again = Boot.begin(pc2)
    again.shows_its_menu()
    # The firmware's second boot entry is the disk.
    again.says("failed to load Boot0001")
    assert "starting Boot0001" not in again.said
