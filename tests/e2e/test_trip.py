"""The main job on two virtual PCs: backed up, wiped, restored, and each boots its own disk again.

The tests of this file run in their order: each begins with the disks that the one before left.
"""

import hashlib
import subprocess
from pathlib import Path

import pytest
from e2e import independent
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import run_playbook

BOOT_SECONDS = 300
KIB = 1024
MIB = 1024 * KIB


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(disk: Path, folder: Path) -> Path:
    """Return a sparse copy of a disk."""
    target = folder / disk.name
    subprocess.run(["cp", "--sparse=always", disk, target], check=True)
    return target


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


@pytest.mark.parametrize("options", ["", "--check --diff"])
def test_configuring_twice_changes_nothing(lab: Lab, options: str) -> None:
    run = run_playbook("site", options=options, quiet=True)
    assert run.returncode == 0, run.output
    assert run.stats["ok"]
    assert run.changed == {}


def test_both_pcs_are_backed_up_at_once(
    lab: Lab, server: Server, originals: dict[str, Path]
) -> None:
    before = {pc.name: sha256(pc.disk_path) for pc in lab.pcs}
    since = lab.power_log_offset()
    run = run_playbook(
        "backup", limit="pc1,pc2", variables={"imaging_session_after": "poweroff"}, quiet=True
    )
    assert run.returncode == 0, run.output
    for pc in lab.pcs:
        result = run.results[pc.name]["disk_backup"]
        assert result["changed"] and result["image"] == pc.name
        assert result["read"] > 100 * MIB
        pc.wait_until_off()
        assert sha256(pc.disk_path) == before[pc.name], "a backup wrote to its source"
    turned_on = {e.pc for e in lab.power_events(since) if e.action == "turned on"}
    assert turned_on == {"pc1", "pc2"}
    # A line per machine every few seconds, while the agents worked.
    assert all(f"{pc.name}  backup" in run.output for pc in lab.pcs)
    # The PC's own screen said what was going on, too.
    assert all("backup" in pc.console().lower() for pc in lab.pcs)
    for name in ("pc1", "pc2"):
        check = run_playbook("images", variables={"image": name, "check": "true"}, quiet=True)
        assert check.returncode == 0, check.output


def test_a_second_backup_sends_less_than_one_percent(lab: Lab, pc1: Pc) -> None:
    before = sha256(pc1.disk_path)
    first = run_playbook("images", variables={"image": "pc1"}, quiet=True)
    run = run_playbook(
        "backup", limit="pc1", variables={"imaging_session_after": "poweroff"}, quiet=True
    )
    assert run.returncode == 0, run.output
    result = run.results["pc1"]["disk_backup"]
    assert result["sent"] * 100 < result["stored"]
    pc1.wait_until_off()
    assert sha256(pc1.disk_path) == before
    after = run_playbook("images", variables={"image": "pc1"}, quiet=True)
    versions = [
        len(r.results["img"]["image_info"]["images"][0]["versions"]) for r in (first, after)
    ]
    assert versions[1] == versions[0] + 1


def test_restoring_an_unchanged_disk_writes_nothing(pc1: Pc) -> None:
    before = sha256(pc1.disk_path)
    run = run_playbook(
        "restore",
        limit="pc1",
        variables={"image": "pc1", "imaging_session_after": "poweroff"},
        quiet=True,
    )
    assert run.returncode == 0, run.output
    assert run.changed == {} or "pc1" not in run.changed
    result = run.results["pc1"]["disk_restore"]
    assert result["changed"] is False and result["written"] == 0
    pc1.wait_until_off()
    assert sha256(pc1.disk_path) == before


def test_damage_is_shown_then_mended_and_nothing_else_is_written(pc1: Pc) -> None:
    root = independent.partitions(pc1.disk_path)[0]
    position = blocks_of_a_file(pc1, root)
    with pc1.disk_path.open("r+b") as disk:
        disk.seek(position)
        disk.write(b"\xa5" * 64 * KIB)
    damaged = sha256(pc1.disk_path)
    arguments = {"image": "pc1", "imaging_session_after": "poweroff"}

    dry = run_playbook(
        "restore", limit="pc1", variables=arguments, options="--check --diff", quiet=True
    )
    assert dry.returncode == 0, dry.output
    shown = dry.results["pc1"]["disk_restore"]
    differing = [p for d in shown["disks"] for p in d["partitions"] if p["differing_cells"]]
    assert shown["changed"] is True and shown["written"] == 0
    assert [str(p["partition"]) for p in differing] == ["1"]
    assert 64 * KIB <= differing[0]["differs"] <= 4 * MIB
    pc1.wait_until_off()
    assert sha256(pc1.disk_path) == damaged, "--check wrote to the disk"

    run = run_playbook("restore", limit="pc1", variables=arguments, quiet=True)
    assert run.returncode == 0, run.output
    result = run.results["pc1"]["disk_restore"]
    assert result["changed"] is True
    assert 64 * KIB <= result["written"] <= 6 * MIB
    pc1.wait_until_off()

    verify = run_playbook(
        "verify", limit="pc1", variables={"imaging_session_after": "poweroff"}, quiet=True
    )
    assert verify.returncode == 0, verify.output
    pc1.wait_until_off()


def test_wiped_pcs_come_back_byte_for_byte_and_boot(
    lab: Lab, originals: dict[str, Path], tmp_path: Path
) -> None:
    for pc in lab.pcs:
        pc.overwrite_disk()
    run = run_playbook(
        "restore",
        limit="pc1,pc2",
        variables={"image": "{{ inventory_hostname }}", "imaging_session_after": "poweroff"},
        quiet=True,
    )
    assert run.returncode == 0, run.output
    for pc in lab.pcs:
        pc.wait_until_off()
        original = originals[pc.name]
        ranges = independent.used_ranges(original)
        assert sum(length for _, length in ranges) > 100 * MIB
        assert independent.differing(original, pc.disk_path, ranges) == []
        restored = copy(pc.disk_path, tmp_path)
        assert independent.check_file_systems(restored) == []
    since = {pc.name: pc.console_offset() for pc in lab.pcs}
    for pc in lab.pcs:
        pc.power_on()
    for pc in lab.pcs:
        pc.wait_for_own_disk(since[pc.name], BOOT_SECONDS)
        pc.cut_power()


def test_pcs_boot_their_own_disk_while_the_service_is_stopped(server: Server, pc1: Pc) -> None:
    server.succeed("systemctl stop slipway-http.socket slipway-admin.socket slipway.service")
    try:
        since = pc1.console_offset()
        pc1.power_on()
        pc1.wait_for_own_disk(since, BOOT_SECONDS)
        log = server.succeed("tail -n 20 /var/log/nginx/slipway.log")
        assert "/boot/52-54-00-77-00-01.ipxe" in log
    finally:
        pc1.cut_power()
        server.succeed("systemctl start slipway-http.socket slipway-admin.socket slipway.service")
