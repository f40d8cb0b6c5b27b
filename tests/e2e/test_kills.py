"""Kills of agent and service at many moments: no half version, no half system that boots."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import independent
from e2e.control import Bench, admin, kill, versions
from slipway_lab.api import Lab, Server

AGENT_KILLS = 5
SERVICE_KILLS = 4
MIB = 1 << 20
# A lab that stayed up has the images of earlier runs.
NAME = f"kills-{os.urandom(4).hex()}"


def sector(disk: Path, number: int) -> bytes:
    """Return one sector of a disk; negative numbers count from its end."""
    size = disk.stat().st_size
    with disk.open("rb") as file:
        file.seek(number * 512 if number >= 0 else size + number * 512)
        return file.read(512)


def can_boot(disk: Path) -> bool:
    """Whether firmware would find a boot sector or a partition table."""
    signature = sector(disk, 0)[510:512] == b"\x55\xaa"
    return signature or any(sector(disk, n)[:8] == b"EFI PART" for n in (1, -1))


def make_disk(path: Path, seed: int) -> None:
    """Make a GPT disk with 320 MiB of files that don't compress: a few seconds of work."""
    tree = path.with_suffix(f".tree{seed}")
    tree.mkdir()
    for number in range(40):
        content = random.Random(seed + number).randbytes(8 * MIB)
        (tree / f"file{number}").write_bytes(content)
    with path.open("wb") as file:
        file.truncate(500 * MIB)
    script = "label: gpt\nstart=2048, type=L\n"
    subprocess.run(["sfdisk", "-q", str(path)], input=script, text=True, check=True)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", f"offset={MIB}", path, "490M"],
        check=True,
    )


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kills") / "disk.img"
    make_disk(path, 0)
    return path


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(lab, tmp_path, "bench")
    yield bench
    bench.leave()


def test_a_backup_killed_again_and_again(bench: Bench, server: Server, disk: Path) -> None:
    bench.enter("backup", NAME)
    start = time.monotonic()
    first = bench.work("backup", str(disk), "--name", NAME)
    took = time.monotonic() - start
    known = versions(server, NAME)
    assert known == [first["version"]]

    # Other content: what is killed has something to send.
    make_disk(disk, 1000)
    bench.leave()
    bench.enter("backup", NAME)
    killed = 0
    for number in range(AGENT_KILLS):
        agent = bench.agent("backup", str(disk), "--name", NAME)
        time.sleep(took * (number + 1) / (AGENT_KILLS + 2))
        killed += kill(agent)
        assert versions(server, NAME) == known, "a killed backup left a version"
    assert killed >= AGENT_KILLS - 1

    agent = bench.agent("backup", str(disk), "--name", NAME)
    for _ in range(SERVICE_KILLS):
        time.sleep(took / (SERVICE_KILLS + 2))
        server.succeed("systemctl kill --signal=KILL slipway.service")
    output, problems = agent.communicate(timeout=300)
    assert agent.returncode == 0, output[-2000:] + problems

    assert len(versions(server, NAME)) == 2
    for version in versions(server, NAME):
        status, check = admin(server, "POST", f"/v1/images/{NAME}/{version}/check")
        assert status == 200 and check["state"] == "sound", check


def test_a_restore_killed_again_and_again(
    bench: Bench, server: Server, disk: Path, tmp_path: Path
) -> None:
    bench.enter("restore", NAME)
    target = tmp_path / "target.img"
    subprocess.run(["cp", "--sparse=always", disk, target], check=True)
    with target.open("r+b") as file:
        for position in range(10, 480):
            file.seek(position * MIB)
            file.write(b"\xa5" * MIB)
    assert can_boot(target)
    damaged = tmp_path / "damaged.img"
    subprocess.run(["cp", target, damaged], check=True)
    start = time.monotonic()
    bench.work("restore", NAME, str(target))
    took = time.monotonic() - start

    half_written = 0
    for number in range(AGENT_KILLS):
        subprocess.run(["cp", damaged, target], check=True)
        agent = bench.agent("restore", NAME, str(target))
        time.sleep(took * (number + 2) / (AGENT_KILLS + 3))
        kill(agent)
        if can_boot(target):
            # Not begun yet, or the last byte was written already.
            ranges = independent.used_ranges(disk)
            begun = independent.differing(damaged, target, ranges) != []
            assert not begun or independent.differing(disk, target, ranges) == []
        else:
            half_written += 1
    assert half_written, "no kill hit a restore at work"

    agent = bench.agent("restore", NAME, str(target))
    for _ in range(SERVICE_KILLS):
        time.sleep(took / (SERVICE_KILLS + 2))
        server.succeed("systemctl kill --signal=KILL slipway.service")
    output, problems = agent.communicate(timeout=300)
    assert agent.returncode == 0, output[-2000:] + problems
    assert can_boot(target)
    assert independent.differing(disk, target, independent.used_ranges(disk)) == []
