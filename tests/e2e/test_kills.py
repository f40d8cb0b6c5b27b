# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills of agent and service at many moments: no half version, no half system that boots."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Server

from . import independent
from .control import Bench, admin, kill, versions

pytestmark = pytest.mark.slow
AGENT_KILLS = 5
SERVICE_KILLS = 4
MIB = 1 << 20
# A lab that stayed up has the images of earlier runs.
NAME = f"kills-{os.urandom(4).hex()}"


def make_disk(path: Path, seed: int) -> None:
    """Make a GPT disk with 240 MiB of files that don't compress: a few seconds of work."""
    tree = path.with_suffix(".tree")
    tree.mkdir()
    for number in range(30):
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
    shutil.rmtree(tree)


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

    bench.leave()
    bench.enter("backup", NAME)
    interrupted = 0
    for number in range(AGENT_KILLS):
        # Other content each time: what was sent before the last kill would shorten this backup.
        make_disk(disk, 1000 * (number + 1))
        agent = bench.agent("backup", str(disk), "--name", NAME)
        time.sleep(took * (number + 1) / (AGENT_KILLS + 2))
        kill(agent)
        left = versions(server, NAME)
        assert left[-len(known) :] == known, "a kill cost an older version"
        if left == known:
            interrupted += 1
        else:
            # It was quicker than the kill; a session publishes once, so the next needs a new one.
            known = left
            bench.leave()
            bench.enter("backup", NAME)
    assert interrupted >= AGENT_KILLS // 2, "the kills came too late"

    make_disk(disk, 1)
    agent = bench.agent("backup", str(disk), "--name", NAME)
    for _ in range(SERVICE_KILLS):
        time.sleep(took / (SERVICE_KILLS + 2))
        server.succeed("systemctl kill --signal=KILL slipway.service")
    output, problems = agent.communicate(timeout=300)
    assert agent.returncode == 0, output[-2000:] + problems

    listed = versions(server, NAME)
    assert len(listed) == len(known) + 1
    for version in listed:
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
    assert independent.can_boot(target)
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
        if independent.can_boot(target):
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
    assert independent.can_boot(target)
    assert independent.differing(disk, target, independent.used_ranges(disk)) == []
