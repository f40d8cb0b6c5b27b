# SPDX-License-Identifier: GPL-3.0-or-later
"""A smaller disk: the file system that would be cut is made smaller, what lies behind it moves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import AGENT, Agent
from .containers import luks_format
from .disk_builder import (
    MAKERS,
    MIB,
    attached,
    check,
    device_link,
    disk_with,
    filled,
    make_ext,
    mounted,
    sh,
)
from .hashes import hash_of
from .places import (
    MOUNT,
    ROOM,
    lines,
    piece,
    place_in_boot_sector,
    same_files,
    set_place,
    spread,
    untouched,
    warnings,
)
from .test_kills import bootable_junk, wait_for_first_write
from .test_large import measured

pytestmark = pytest.mark.storage

Maker = Callable[[Path, int, Path], None]
ESP, RECOVERY = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC"
MSR = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
GPT = f"label: gpt\nstart=1MiB, size=39MiB, type={ESP}\nstart=40MiB, size=359MiB\n"
GPT_BEHIND = (
    f"label: gpt\nstart=1MiB, size=39MiB, type={ESP}\nstart=40MiB, size=330MiB\n"
    f"start=370MiB, size=29MiB, type={RECOVERY}\n"
)


def sums(store: Path) -> str:
    """The SHA-256 of each file of a store."""
    files = ("-type", "f", "-not", "-path", "*/tmp/*")
    return sh("find", store, *files, "-exec", "sha256sum", "{}", "+")


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("kind", "script", "sector"),
    [
        pytest.param("ext4", GPT, 512, marks=pytest.mark.slow),
        ("ext4", GPT_BEHIND, 4096),
        pytest.param("ntfs", GPT, 512, marks=pytest.mark.slow),
        ("ntfs", GPT_BEHIND, 512),
        pytest.param("ntfs", GPT, 4096, marks=pytest.mark.slow),
        pytest.param("btrfs", GPT, 512, marks=pytest.mark.slow),
        ("btrfs", GPT_BEHIND, 512),
    ],
)
def test_a_smaller_disk(
    kind: str, script: str, sector: int, agent: Agent, room: Path, tree: Path
) -> None:
    behind = {3: MAKERS["ntfs"]} if script == GPT_BEHIND else {}
    source = disk_with(
        room, script, 400 * MIB, {1: MAKERS["ext2"], 2: spread(kind), **behind}, tree, sector
    )
    if behind:
        set_place(source, 3)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    store = sums(agent.store)
    target = filled(room / "target", ROOM.get(kind, 200 * MIB))
    with attached(target, sector) as device:
        restore = ("restore", "pc", "--target", f"disk0={device}")
        assert agent(*restore, "--dry-run").ok()["changed"] is True
        assert untouched(target)
        outcome = agent(*restore)
        assert outcome.ok()["changed"] is True
        assert any("file system is made smaller" in each for each in warnings(outcome))
        assert any(
            each["phase"] == "plan" and each["done"] > 0
            for each in outcome.records
            if each["type"] == "progress"
        )
        assert "No problems found" in sh("sgdisk", "-v", device)
        if kind == "btrfs":
            # The kernel knows what came out before, as it does after a restart.
            start, size = (int(lines(target)[1][key]) for key in ("start", "size"))
            with attached(target, sector, start, size) as part:
                sh("btrfs", "device", "scan", part)
                agent(*restore).ok()
            assert any("each run" in each for each in warnings(outcome))
        else:
            assert agent(*restore).ok()["changed"] is False
            assert agent("compare", "pc", "--target", restore[-1]).code == 0
    for before, after in zip(lines(source.path, sector), lines(target, sector), strict=True):
        assert (before["type"], before["uuid"]) == (after["type"], after["uuid"])
    same_files(source.path, target, 2, kind, room, tree, sector)
    if behind:
        same_files(source.path, target, 3, "ntfs", room, tree, sector)
        start = int(lines(target, sector)[2]["start"])
        assert place_in_boot_sector(target, start) == start // sector
        assert any("disk0:3: moves" in each for each in warnings(outcome))
    assert sums(agent.store) == store


@pytest.mark.parametrize("kind", ["ext4", "ntfs"])
def test_as_small_as_the_error_says_and_no_smaller(
    kind: str, agent: Agent, room: Path, tree: Path
) -> None:
    source = disk_with(room, GPT, 400 * MIB, {2: spread(kind)}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 44 * MIB)
    restore = ("restore", "pc", "--target", f"disk0={target}")
    error = agent(*restore).failed("target_refused")
    found = re.search(r"needs (\d+) ", error["message"])
    assert found is not None
    needed = int(found[1])
    assert f"at least {needed} bytes" in error["remedy"]
    assert untouched(target)
    filled(target, needed - MIB)
    assert str(needed) in agent(*restore).failed("target_refused")["message"]
    assert untouched(target)
    filled(target, needed)
    agent(*restore).ok()
    same_files(source.path, target, 2, kind, room, tree)


def test_two_partitions_give_what_one_has_not(agent: Agent, room: Path, tree: Path) -> None:
    """C: and D:, a swap space behind them; neither alone could give as much."""
    script = (
        "label: gpt\nstart=1MiB, size=200MiB\nstart=201MiB, size=180MiB\n"
        "start=381MiB, size=18MiB, type=S\n"
    )
    makers = {1: spread("ntfs"), 2: spread("ext4"), 3: MAKERS["swap"]}
    source = disk_with(room, script, 400 * MIB, makers, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 150 * MIB)
    restore = ("restore", "pc", "--target", f"disk0={target}")
    agent(*restore).ok()
    assert "No problems found" in sh("sgdisk", "-v", target)
    same_files(source.path, target, 1, "ntfs", room, tree)
    same_files(source.path, target, 2, "ext4", room, tree)
    swap = piece(target, lines(target)[2], room / "swap")
    assert "swap-label" in sh("blkid", "-p", swap)
    assert agent(*restore).ok()["changed"] is False


@pytest.mark.parametrize("sector", [512, pytest.param(4096, marks=pytest.mark.slow)])
def test_primary_partitions_of_an_mbr(sector: int, agent: Agent, room: Path, tree: Path) -> None:
    script = (
        "label: dos\nstart=1MiB, size=300MiB, type=7, bootable\nstart=310MiB, size=40MiB, type=27\n"
    )
    makers = {1: spread("ntfs"), 2: MAKERS["ntfs"]}
    source = disk_with(room, script, 400 * MIB, makers, tree, sector)
    set_place(source, 1)
    set_place(source, 2)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    target = filled(room / "target", 200 * MIB)
    with attached(target, sector) as device:
        restore = ("restore", "pc", "--target", f"disk0={device}")
        agent(*restore).ok()
        assert agent(*restore).ok()["changed"] is False
        assert "No errors detected" in sh("sfdisk", "--verify", device)
        assert "bootable" in sh("sfdisk", "--dump", device)
    for number in (1, 2):
        same_files(source.path, target, number, "ntfs", room, tree, sector)
        start = int(lines(target, sector)[number - 1]["start"])
        assert place_in_boot_sector(target, start) == start // sector
    assert [each["type"] for each in lines(target, sector)] == ["7", "27"]


def test_a_logical_partition_at_the_end(agent: Agent, room: Path, tree: Path) -> None:
    """Its container becomes smaller with it."""
    script = (
        "label: dos\nstart=1MiB, size=40MiB\nstart=42MiB, size=350MiB, type=5\n"
        "start=43MiB, size=20MiB\nstart=64MiB, size=328MiB\n"
    )
    source = disk_with(room, script, 400 * MIB, {5: MAKERS["ext2"], 6: spread("ext4")}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 200 * MIB)
    restore = ("restore", "pc", "--target", f"disk0={target}")
    agent(*restore).ok()
    assert "No errors detected" in sh("sfdisk", "--verify", target)
    container = lines(target)[1]
    assert int(container["start"]) + int(container["size"]) <= 200 * MIB
    same_files(source.path, target, 4, "ext4", room, tree)
    assert agent(*restore).ok()["changed"] is False


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "ntfs"])
def test_a_disk_without_a_table(kind: str, agent: Agent, room: Path, tree: Path) -> None:
    source = room / "source"
    with source.open("wb") as file:
        file.truncate(400 * MIB)
    spread(kind)(source, 512, tree)
    agent("backup", source, "--name", "pc").ok()
    target = filled(room / "target", ROOM.get(kind, 200 * MIB))
    restore = ("restore", "pc", "--target", f"disk0={target}")
    if kind == "ntfs":
        error = agent(*restore).failed("target_refused")
        assert str(400 * MIB) in error["message"] and "disk0:disk" in error["message"]
        assert untouched(target)
        return
    outcome = agent(*restore).ok()
    names = [each["partition"] for each in outcome["disks"][0]["partitions"]]
    assert len(names) == len(set(names))
    check(target, kind, 512, tree)
    if kind == "ext4":
        assert agent(*restore).ok()["changed"] is False


def make_whole(path: Path, sector: int, tree: Path) -> None:
    """Nothing knows its kind."""
    with path.open("r+b") as file:
        file.write(bytes(range(1, 255)) * 100)


def make_pv(path: Path, sector: int, tree: Path) -> None:
    with attached(path, sector) as device:
        sh("pvcreate", "-q", "-y", device)


def make_locked(path: Path, sector: int, tree: Path) -> None:
    luks_format(path)


@pytest.mark.parametrize(
    ("kind", "maker", "why"),
    [
        ("xfs", MAKERS["xfs"], "no program makes smaller"),
        ("vfat", MAKERS["fat32"], "no program makes smaller"),
        ("exfat", MAKERS["exfat"], "no program makes smaller"),
        ("f2fs", MAKERS["f2fs"], "no program makes smaller"),
        ("unknown", make_whole, "no program makes smaller"),
        ("LVM2_member", make_pv, "no program makes smaller"),
        ("crypto_LUKS", make_locked, "no program makes smaller"),
    ],
)
def test_what_can_not_be_made_smaller(
    kind: str, maker: Maker, why: str, agent: Agent, room: Path, tree: Path
) -> None:
    source = disk_with(room, GPT, 400 * MIB, {2: maker}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 300 * MIB)
    error = agent("restore", "pc", "--target", f"disk0={target}").failed("target_refused")
    assert f"disk0:2 ({kind})" in error["message"]
    assert why in error["message"]
    assert f"needs {399 * MIB + 33 * 512} " in error["message"]
    assert str(399 * MIB + 33 * 512) in error["remedy"]
    assert untouched(target)


def test_what_was_saved_whole(agent: Agent, room: Path, tree: Path) -> None:
    source = disk_with(room, GPT, 400 * MIB, {2: MAKERS["ext4"]}, tree)
    agent("backup", source.path, "--name", "pc", "--whole", "disk0:2").ok()
    target = filled(room / "target", 300 * MIB)
    error = agent("restore", "pc", "--target", f"disk0={target}").failed("target_refused")
    assert "disk0:2 (ext4) was saved whole" in error["message"]
    assert untouched(target)


DEBIAN = (
    "label: dos\nstart=1MiB, size=300MiB, bootable\n"
    # Its installer leaves two sectors between the record and the partition.
    "start=618494, size=163842, type=5\nstart=618496, size=81920, type=82\n"
    "start=702464, size=79872\n"
)
BETWEEN = (
    "label: dos\nstart=1MiB, size=40MiB\nstart=41MiB, size=300MiB, type=f\n"
    "start=360MiB, size=30MiB, type=27\n"
    "start=42MiB, size=20MiB, type=82\nstart=63MiB, size=240MiB\nstart=304MiB, size=20MiB\n"
)


@pytest.mark.parametrize(
    ("script", "sector", "contents"),
    [
        (DEBIAN, 512, {1: "ext4", 5: "swap", 6: "ext2"}),
        (BETWEEN, 512, {1: "ext4", 3: "ntfs", 5: "swap", 6: "ext4", 7: "fat16"}),
        (BETWEEN, 4096, {1: "ext4", 3: "ntfs", 5: "swap", 6: "ext4"}),
    ],
    ids=["debian", "between", "between-4k"],
)
def test_logical_partitions_move(
    script: str, sector: int, contents: dict[int, str], agent: Agent, room: Path, tree: Path
) -> None:
    """With the records of their chain, and what lies behind their container moves, too."""
    makers = {number: MAKERS[kind] for number, kind in contents.items()}
    # The kernel mounts no block that is smaller than a sector.
    makers[1] = make_ext("ext4", "-b", "4096")
    makers[6 if script == BETWEEN else 1] = spread("ext4")
    source = disk_with(room, script, 400 * MIB, makers, tree, sector)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    target = filled(room / "target", 240 * MIB)
    with attached(target, sector) as device:
        restore = ("restore", "pc", "--target", f"disk0={device}")
        agent(*restore).ok()
        assert agent(*restore).ok()["changed"] is False
        assert agent("compare", *restore[1:]).code == 0
        assert "No errors detected" in sh("sfdisk", "--verify", device)
    before, after = lines(source.path, sector), lines(target, sector)
    for old, new in zip(before, after, strict=True):
        assert old["type"] == new["type"]
        assert int(new["start"]) + int(new["size"]) <= 240 * MIB
    numbers = sorted({*contents, 2})
    for number, kind in contents.items():
        index = numbers.index(number)
        if kind == "swap":
            copy = piece(target, after[index], room / "swap")
            assert "swap-label" in sh("blkid", "-p", copy)
        elif kind == "fat16":
            check(piece(target, after[index], room / "fat"), kind, sector, tree)
        else:
            same_files(source.path, target, index + 1, kind, room, tree, sector)
    # What the table leaves between them is as large as it was.
    gap = int(before[-1]["start"]) - int(before[-2]["start"]) - int(before[-2]["size"])
    assert gap == int(after[-1]["start"]) - int(after[-2]["start"]) - int(after[-2]["size"])


@pytest.mark.parametrize("record", [True, False])
def test_an_empty_container_that_does_not_fit(
    record: bool, agent: Agent, room: Path, tree: Path
) -> None:
    script = "label: dos\nstart=1MiB, size=300MiB\nstart=310MiB, size=80MiB, type=5\n"
    source = disk_with(room, script, 400 * MIB, {1: MAKERS["ext4"]}, tree)
    with source.path.open("r+b") as file:
        file.seek(310 * MIB)
        file.write(bytes(510) + (b"\x55\xaa" if record else bytes(2)))
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 200 * MIB)
    restore = ("restore", "pc", "--target", f"disk0={target}")
    agent(*restore).ok()
    assert agent(*restore).ok()["changed"] is False
    assert "No errors detected" in sh("sfdisk", "--verify", target)
    assert len(lines(target)) == 1 + record
    same_files(source.path, target, 1, "ext4", room, tree)


def test_a_damaged_chunk_is_found_before_the_first_write(
    agent: Agent, room: Path, tree: Path
) -> None:
    source = disk_with(room, GPT, 400 * MIB, {2: spread("ext4")}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 200 * MIB)
    for chunk in (agent.store / "chunks").rglob("?" * 64):
        chunk.write_bytes(chunk.read_bytes()[:-9])
    agent("restore", "pc", "--target", f"disk0={target}").failed("image_damaged")
    assert untouched(target)


def test_too_little_memory_is_said(agent: Agent, room: Path, tree: Path) -> None:
    """What a program writes that was nowhere in the image has to be held."""
    source = disk_with(room, GPT, 400 * MIB, {2: spread("ext4")}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 200 * MIB)
    program = (
        "import slipway.engine.shrink as shrink; shrink.free_memory = lambda: 4096\n"
        "import runpy; runpy.run_module('slipway', run_name='__main__')"
    )
    argv = agent.command("restore", "pc", "--target", f"disk0={target}")
    argv = [sys.executable, "-c", program, *argv[3:]]
    done = subprocess.run(
        argv, env=os.environ | {"PYTHONPATH": str(AGENT)}, capture_output=True, text=True
    )
    assert done.returncode == 9, done.stdout + done.stderr
    assert re.search(r"takes more than \d{4,5} bytes of memory", done.stdout), done.stdout
    assert untouched(target)
    assert "slipway-lazy" not in Path("/proc/mounts").read_text()


def test_a_missing_program_is_said(
    agent: Agent, room: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = disk_with(room, GPT, 400 * MIB, {2: MAKERS["ext4"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 300 * MIB)
    for program in ("lsblk", "blkid", "sfdisk", "e2fsck"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(tmp_path))
    error = agent("restore", "pc", "--target", f"disk0={target}").failed("tool_failed")
    assert "resize2fs is missing" in error["message"]
    assert "e2fsprogs" in error["remedy"]


@pytest.mark.parametrize("kind", ["ext4", pytest.param("btrfs", marks=pytest.mark.slow)])
def test_killed_in_the_middle(kind: str, agent: Agent, room: Path, tree: Path) -> None:
    """Before the first write nothing has changed; after it the disk can't boot; both go on."""
    source = disk_with(room, GPT, 400 * MIB, {1: MAKERS["ext2"], 2: spread(kind)}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    size = ROOM.get(kind, 200 * MIB)
    target = bootable_junk(room / "target", size)
    before = hash_of(target)
    restore = ("restore", "pc", "--target", f"disk0={target}", "--threads", "1")
    process = agent.start(*restore)
    wait_until(lambda: bool(mounted_by(process.pid)), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert hash_of(target) == before
    assert "slipway-lazy" not in Path("/proc/mounts").read_text()
    process = agent.start(*restore)
    wait_for_first_write(target, size, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert "label" not in sh("sfdisk", "--dump", target, ok=(0, 1))
    agent(*restore).ok()
    assert "No problems found" in sh("sgdisk", "-v", target)
    same_files(source.path, target, 2, kind, room, tree)
    assert "slipway-lazy" not in Path("/proc/mounts").read_text()


GIB = 1 << 30


def make_large(kind: str) -> Maker:
    """4 GB of files, as far from the beginning as the file system lets them be."""

    def make(path: Path, sector: int, tree: Path) -> None:
        MAKERS[kind](path, sector, tree)
        with attached(path, sector) as device:
            link = path if kind == "ntfs" else device_link(device, path)
            with mounted(link, *MOUNT.get(kind, ())) as point:
                if kind != "ntfs":
                    sh("fallocate", "-l", "30G", point / "filler")
                for number in range(8):
                    sh(
                        "sh",
                        "-c",
                        f"seq {number}000000000 3 99999999999 | head -c 512M> {point}/file{number}",
                    )
                (point / "filler").unlink(missing_ok=True)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "ntfs", "btrfs"])
def test_sixty_gigabytes_on_sixteen(kind: str, agent: Agent, tmp_path: Path, tree: Path) -> None:
    script = (
        f"label: gpt\nstart=1MiB, size=511MiB, type={ESP}\nstart=512MiB, size=58GiB\n"
        f"start=59904MiB, size=1023MiB, type={RECOVERY}\n"
    )
    agent = Agent(tmp_path / "store")
    makers = {1: MAKERS["fat32"], 2: make_large(kind), 3: MAKERS["ntfs"]}
    source = disk_with(tmp_path, script, 60 * GIB, makers, tree)
    measured(agent, "backup", source.path, "--name", "pc")
    target = tmp_path / "target"
    with target.open("wb") as file:
        file.truncate(16 * GIB)
    restore = ("restore", "pc", "--target", f"disk0={target}")
    first = measured(agent, *restore)
    print(kind, first.memory >> 20, "MiB,", first.result["seconds"], "s")
    assert first.memory < 1 << 30, "files that move are held in memory"
    assert "No problems found" in sh("sgdisk", "-v", target)
    second = measured(agent, *restore)
    if kind != "btrfs":
        assert second.result["changed"] is False
    for before, after in zip(lines(source.path), lines(target), strict=True):
        assert (before["type"], before["uuid"]) == (after["type"], after["uuid"])
    same_files(source.path, target, 2, kind, tmp_path, tree)
    same_files(source.path, target, 3, "ntfs", tmp_path, tree)
    source.path.unlink()
    target.unlink()


def mounted_by(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/mounts").read_text()
    except OSError:
        return []
    return [row for row in text.splitlines() if "slipway-lazy" in row]


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert process.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
