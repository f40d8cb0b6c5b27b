# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on two virtual PCs: backed up, wiped, restored, and each boots its own disk again.

The tests of this file run in their order: each begins with the disks and images that the one
before left. Booting is what takes the time, so trips take both PCs at once, and a PC that can
stays in the imaging environment for the next one; pc2 is the one whose plug is pulled.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import PlaybookRun, run_playbook

from . import independent
from .control import versions
from .disk_files import copy, sha256

BOOT_SECONDS = 300
OFF = {"imaging_session_after": "poweroff"}
STAY = {"imaging_session_after": "stay"}
EACH_ITS_OWN = {"image": "{{ inventory_hostname }}"}
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


@pytest.fixture(scope="module")
def originals(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of the disks as they were made."""
    folder = tmp_path_factory.mktemp("originals")
    return {pc.name: copy(pc.disk_path, folder) for pc in lab.pcs}


@contextmanager
def running(playbook: str, limit: str, variables: dict[str, str]) -> Iterator[Future[PlaybookRun]]:
    """Run a playbook beside the test; a machine that is silent for two minutes is given up."""
    variables = variables | {"disk_patience": "2"}
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(run_playbook, playbook, limit=limit, variables=variables, quiet=True)


def pull_the_plug(pc: Pc, verb: str, since: int) -> None:
    """Cut a PC's power when it is some way into its work, as its own screen says."""
    pc.wait_for_serial(rf"{verb} .* [1-9]\d\.\d%", since, timeout=400)
    pc.cut_power()


def assert_sound(image: str) -> None:
    check = run_playbook("images", variables={"image": image, "check": "true"}, quiet=True)
    assert check.returncode == 0, check.output


def turned_on(lab: Lab, since: int) -> set[str | None]:
    """Return the PCs that were turned on since an offset of the power log."""
    return {event.pc for event in lab.power_events(since) if event.action == "turned on"}


@pytest.mark.parametrize("options", ["", "--check --diff"])
def test_configuring_twice_changes_nothing(lab: Lab, options: str) -> None:
    run = run_playbook("site", options=options, quiet=True)
    assert run.returncode == 0, run.output
    assert run.stats["ok"]
    assert run.changed == {}


def test_a_power_cut_costs_that_backup_and_no_other(
    lab: Lab, server: Server, pc1: Pc, pc2: Pc, originals: dict[str, Path]
) -> None:
    known = {pc.name: versions(server, pc.name) for pc in lab.pcs}
    before = {pc.name: sha256(pc.disk_path) for pc in lab.pcs}
    since = lab.power_log_offset(), pc2.console_offset()
    with running("backup", "pc1,pc2", STAY) as future:
        pull_the_plug(pc2, "backup", since[1])
    run = future.result()
    assert turned_on(lab, since[0]) == {"pc1", "pc2"}

    assert run.returncode != 0
    assert "was lost while the agent worked" in " ".join(run.failures["pc2"])
    assert versions(server, "pc2") == known["pc2"]

    assert "pc1" not in run.failures
    result = run.results["pc1"]["disk_backup"]
    assert result["changed"] and result["image"] == "pc1"
    assert result["read"] > 100 * MIB
    assert len(versions(server, "pc1")) == len(known["pc1"]) + 1
    for pc in lab.pcs:
        assert sha256(pc.disk_path) == before[pc.name], "a backup wrote to its source"


@pytest.mark.goes_on
def test_the_next_backup_sends_only_what_is_missing(
    lab: Lab, server: Server, pc1: Pc, pc2: Pc
) -> None:
    known = {pc.name: versions(server, pc.name) for pc in lab.pcs}
    before = {pc.name: sha256(pc.disk_path) for pc in lab.pcs}
    since = {pc.name: pc.console_offset() for pc in lab.pcs}
    power = lab.power_log_offset()
    run = run_playbook("backup", limit="pc1,pc2", variables=STAY, quiet=True)
    assert run.returncode == 0, run.output
    # pc1 stayed in the environment and took its next session there.
    assert turned_on(lab, power) == {"pc2"}
    for pc in lab.pcs:
        assert sha256(pc.disk_path) == before[pc.name], "a backup wrote to its source"
        assert len(versions(server, pc.name)) == len(known[pc.name]) + 1
        assert versions(server, pc.name)[1:] == known[pc.name]
        assert_sound(pc.name)
        # A line per machine every few seconds, and the PC's own screen says what goes on, too.
        assert f"{pc.name}  backup" in run.output
        assert "backup" in pc.console(since[pc.name]).lower()
    saved = {pc.name: run.results[pc.name]["disk_backup"] for pc in lab.pcs}
    assert saved["pc1"]["sent"] * 100 < saved["pc1"]["stored"]
    # Of pc2, the backup that lost its power had left chunks here.
    assert saved["pc2"]["sent"] < saved["pc2"]["stored"]


@pytest.mark.goes_on
def test_damage_is_shown_and_nothing_is_written(lab: Lab, pc1: Pc, pc2: Pc) -> None:
    root = independent.partitions(pc1.disk_path)[0]
    position = blocks_of_a_file(pc1, root)
    with pc1.disk_path.open("r+b") as disk:
        disk.seek(position)
        disk.write(b"\xa5" * 64 * KIB)
    before = {pc.name: sha256(pc.disk_path) for pc in lab.pcs}

    run = run_playbook(
        "restore",
        limit="pc1,pc2",
        variables=EACH_ITS_OWN | STAY,
        options="--check --diff",
        quiet=True,
    )
    assert run.returncode == 0, run.output
    shown = run.results["pc1"]["disk_restore"]
    differing = [p for d in shown["disks"] for p in d["partitions"] if p["differing_cells"]]
    assert shown["changed"] is True and shown["written"] == 0
    assert [str(p["partition"]) for p in differing] == ["1"]
    assert 64 * KIB <= differing[0]["differs"] <= 4 * MIB
    assert run.results["pc2"]["disk_restore"]["changed"] is False
    for pc in lab.pcs:
        assert sha256(pc.disk_path) == before[pc.name], "--check wrote to the disk"


@pytest.mark.goes_on
def test_only_what_differs_is_written(lab: Lab, pc1: Pc, pc2: Pc) -> None:
    before = sha256(pc2.disk_path)
    run = run_playbook("restore", limit="pc1,pc2", variables=EACH_ITS_OWN | STAY, quiet=True)
    assert run.returncode == 0, run.output
    mended = run.results["pc1"]["disk_restore"]
    assert mended["changed"] is True
    assert 64 * KIB <= mended["written"] <= 6 * MIB
    same = run.results["pc2"]["disk_restore"]
    assert same["changed"] is False and same["written"] == 0
    assert "pc2" not in run.changed
    assert sha256(pc2.disk_path) == before


@pytest.mark.goes_on
def test_a_power_cut_leaves_no_half_system_that_boots(pc1: Pc, pc2: Pc) -> None:
    pc2.cut_power()
    pc2.overwrite_disk()
    since = pc2.console_offset()
    with running("restore", "pc2", EACH_ITS_OWN) as restoring:
        # Meanwhile the mended pc1 is compared with its image, by a playbook of its own.
        with running("verify", "pc1", OFF) as verifying:
            pull_the_plug(pc2, "restore", since)
        assert verifying.result().returncode == 0, verifying.result().output
    assert restoring.result().returncode != 0
    assert "was lost while the agent worked" in " ".join(restoring.result().failures["pc2"])
    assert not independent.can_boot(pc2.disk_path)
    pc1.wait_until_off()


def test_wiped_and_half_restored_pcs_come_back_byte_for_byte(
    lab: Lab, pc1: Pc, originals: dict[str, Path], tmp_path: Path
) -> None:
    pc1.overwrite_disk()
    run = run_playbook("restore", limit="pc1,pc2", variables=EACH_ITS_OWN | OFF, quiet=True)
    assert run.returncode == 0, run.output
    for pc in lab.pcs:
        pc.wait_until_off()
        original = originals[pc.name]
        ranges = independent.used_ranges(original)
        assert sum(length for _, length in ranges) > 100 * MIB
        assert independent.differing(original, pc.disk_path, ranges) == []
        restored = copy(pc.disk_path, tmp_path)
        assert independent.check_file_systems(restored) == []


def test_restored_pcs_boot_their_own_disk_while_the_service_is_stopped(
    lab: Lab, server: Server
) -> None:
    units = "slipway-http.socket slipway-admin.socket slipway.service"
    server.succeed(f"systemctl stop {units}")
    try:
        since = {pc.name: pc.console_offset() for pc in lab.pcs}
        for pc in lab.pcs:
            pc.power_on()
        for pc in lab.pcs:
            pc.wait_for_own_disk(since[pc.name], BOOT_SECONDS)
        # They got their menus first.
        log = server.succeed("tail -n 20 /var/log/slipway/access.log")
        for pc in lab.pcs:
            assert f"/boot/{pc.macs[0].replace(':', '-')}.ipxe" in log
    finally:
        for pc in lab.pcs:
            pc.cut_power()
        server.succeed(f"systemctl start {units}")
