# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job: two virtual PCs saved at once; one wiped, restored, and booted from its own disk.

The tests of this file run in their order: each begins with the disks and images that the one
before left. Booting is what takes the time, so a PC that can stays in the imaging environment for
the next one.
"""

import subprocess
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import run_playbook

from . import independent
from .control import (
    EACH_ITS_OWN,
    OFF,
    STAY,
    admin,
    assert_sound,
    service_stopped,
    turned_on,
    versions,
)
from .disk_files import copy, sha256
from .ordering import open_sessions, order, outcomes, wait_until_ended

BOOT_SECONDS = 300
KIB = 1024
MIB = 1024 * KIB


def blocks_of_a_file(pc: Pc, partition: independent.Part) -> int:
    """Return the offset on the disk of a run of 16 or more blocks that belongs to a big file."""
    image = f"{pc.disk_path}?offset={partition.start}"
    listing = subprocess.run(
        ["debugfs", "-R", "blocks /usr/lib/x86_64-linux-gnu/libcrypto.so.3", image],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    blocks = [int(block) for block in listing]
    for index in range(len(blocks) - 16):
        if blocks[index + 15] == blocks[index] + 15:
            return partition.start + blocks[index] * 4 * KIB
    raise AssertionError("libcrypto has no 64 KiB in one piece")


@pytest.fixture(scope="module", autouse=True)
def originals(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of the disks as they were made."""
    folder = tmp_path_factory.mktemp("originals")
    return {pc.name: copy(pc.disk_path, folder) for pc in lab.pcs}


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "--check --diff"])
def test_configuring_twice_changes_nothing(lab: Lab, options: str) -> None:
    run = run_playbook("site", options=options, quiet=True)
    assert run.returncode == 0, run.output
    assert run.stats["ok"]
    assert run.changed == {}


def test_two_pcs_that_are_off_are_saved_and_off_again(lab: Lab, server: Server) -> None:
    known = {pc.name: versions(server, pc.name) for pc in lab.pcs}
    power = lab.power_log_offset()
    order("backup")
    # Whoever orders need not stay; whoever stays is shown what happens.
    followed = run_playbook(
        "order", limit="pc1,pc2", variables={"verb": "backup", "follow": "true"}, quiet=True
    )
    assert followed.returncode == 0, followed.output
    assert followed.changed == {}, "the same order is no second one"
    assert "pc1  backup" in followed.output and "pc2  backup done" in followed.output
    found = wait_until_ended(server)
    assert outcomes(found) == {"pc1": "done", "pc2": "done"}, found
    for job in found.values():
        assert (job["origin"], job["arrival"], job["by"]) == ("order", "wakes", "root")
    assert turned_on(lab, power) == {"pc1", "pc2"}
    for pc in lab.pcs:
        pc.wait_until_off()
        assert len(versions(server, pc.name)) == len(known[pc.name]) + 1
    assert open_sessions(server) == []
    _, answer = admin(server, "GET", "/v1/audit?most=100")
    said = [(each["who"], each["verb"], each["subject"]) for each in answer["lines"]]
    assert ("root", "order a job", "pc1") in said and ("root", "order a job", "pc2") in said
    shown = run_playbook("jobs", quiet=True).output
    assert "order" in shown and "wakes" in shown


def test_a_wiped_pc_comes_back_byte_for_byte(
    lab: Lab, pc1: Pc, originals: dict[str, Path], tmp_path: Path
) -> None:
    pc1.overwrite_disk()
    power = lab.power_log_offset()
    run = run_playbook("restore", limit="pc1", variables={"image": "pc1"} | STAY, quiet=True)
    assert run.returncode == 0, run.output
    assert turned_on(lab, power) == {"pc1"}
    independent.assert_came_back(originals["pc1"], copy(pc1.disk_path, tmp_path))


@pytest.mark.goes_on
def test_damage_is_shown_and_nothing_is_written(pc1: Pc) -> None:
    root = independent.partitions(pc1.disk_path)[0]
    position = blocks_of_a_file(pc1, root)
    with pc1.disk_path.open("r+b") as disk:
        disk.seek(position)
        disk.write(b"\xa5" * 64 * KIB)
    before = sha256(pc1.disk_path)

    words = {"image": "pc1"} | STAY
    run = run_playbook(
        "restore", limit="pc1", variables=words, options="--check --diff", quiet=True
    )
    assert run.returncode == 0, run.output
    shown = run.results["pc1"]["disk_restore"]
    differing = [p for d in shown["disks"] for p in d["partitions"] if p["differing_cells"]]
    assert shown["changed"] is True and shown["written"] == 0
    assert [str(p["partition"]) for p in differing] == ["1"]
    assert 64 * KIB <= differing[0]["differs"] <= 4 * MIB
    assert sha256(pc1.disk_path) == before, "--check wrote to the disk"


@pytest.mark.goes_on
def test_only_what_differs_is_written(lab: Lab, pc1: Pc) -> None:
    power = lab.power_log_offset()
    run = run_playbook("restore", limit="pc1", variables={"image": "pc1"} | STAY, quiet=True)
    assert run.returncode == 0, run.output
    mended = run.results["pc1"]["disk_restore"]
    assert mended["changed"] is True
    assert 64 * KIB <= mended["written"] <= 6 * MIB
    assert turned_on(lab, power) == set(), "it took this session where it was"


@pytest.mark.goes_on
def test_the_next_backup_sends_only_what_is_missing(lab: Lab, server: Server, pc1: Pc) -> None:
    known = versions(server, "pc1")
    before, since = sha256(pc1.disk_path), pc1.console_offset()
    power = lab.power_log_offset()
    run = run_playbook("backup", limit="pc1", variables=OFF, quiet=True)
    assert run.returncode == 0, run.output
    assert turned_on(lab, power) == set()
    pc1.wait_until_off()
    assert sha256(pc1.disk_path) == before, "a backup wrote to its source"
    assert len(versions(server, "pc1")) == len(known) + 1
    assert versions(server, "pc1")[1:] == known
    assert_sound("pc1")
    # A line per machine every few seconds, and the PC's own screen says what goes on, too.
    assert "pc1  backup" in run.output
    assert "backup" in pc1.console(since).lower()
    saved = run.results["pc1"]["disk_backup"]
    assert saved["changed"] and saved["image"] == "pc1"
    assert saved["read"] > 100 * MIB
    assert saved["sent"] * 100 < saved["stored"]


def test_a_restored_pc_boots_its_own_disk_while_the_service_is_stopped(
    server: Server, pc1: Pc
) -> None:
    boots_its_own_disk(server, pc1)


def boots_its_own_disk(server: Server, pc: Pc) -> None:
    """Without the service, which it asks for its menu first; its file systems are clean then."""
    with service_stopped(server):
        since = pc.console_offset()
        pc.power_on()
        pc.wait_for_own_disk(since, BOOT_SECONDS)
        log = server.succeed("tail -n 20 /var/log/slipway/access.log")
        assert f"/boot/{pc.macs[0].replace(':', '-')}.ipxe" in log
    pc.shutdown()


@pytest.mark.slow
def test_two_wiped_pcs_come_back_at_once_and_boot(
    lab: Lab, server: Server, originals: dict[str, Path], tmp_path: Path
) -> None:
    """By BIOS and by UEFI; a second restore changes nothing."""
    run = run_playbook("backup", limit="pc1,pc2", variables=OFF, quiet=True)
    assert run.returncode == 0, run.output
    for pc in lab.pcs:
        pc.wait_until_off()
        pc.overwrite_disk()
    for number, after in enumerate((STAY, OFF)):
        words = EACH_ITS_OWN | after
        run = run_playbook("restore", limit="pc1,pc2", variables=words, quiet=True)
        assert run.returncode == 0, run.output
        for pc in lab.pcs:
            done = run.results[pc.name]["disk_restore"]
            assert done["changed"] is (number == 0)
            assert (done["written"] == 0) is (number == 1)
    for pc in lab.pcs:
        pc.wait_until_off()
        independent.assert_came_back(originals[pc.name], copy(pc.disk_path, tmp_path))
    for pc in lab.pcs:
        boots_its_own_disk(server, pc)
