# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten backups of the lab's PCs into the real server's store: what is left there, to the byte."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Server
from slipway_lab.playbook_runs import run_playbook

from ..storage.test_bytes import accounted, files_of, manifests, named_by
from . import independent
from .control import Bench, admin, versions
from .second_site import STORE

pytestmark = pytest.mark.slow
ROUNDS = 5
KEPT = 2
# A lab that stayed up has the images of earlier runs.
RUN = os.urandom(4).hex()


@pytest.fixture
def disks(lab: Lab, tmp_path: Path) -> dict[str, Path]:
    """Copies of the PCs' disks, by the name of the image that each becomes."""
    found = {}
    for name in ("pc1", "pc2"):
        path = tmp_path / f"{name}.img"
        subprocess.run(["cp", "--sparse=always", lab.pc(name).disk_path, path], check=True)
        found[f"bytes-{name}-{RUN}"] = path
    return found


@pytest.fixture
def rules(disks: dict[str, Path], tmp_path: Path) -> Iterator[None]:
    """For these images alone: others' versions stay."""
    images = {name: {"keep": {"last": KEPT}} for name in disks}
    (tmp_path / "policy.json").write_text(json.dumps({"policy_images": images}))
    play("policy", f"-e@{tmp_path / 'policy.json'}")
    yield
    play("policy")


def play(name: str, options: str = "") -> str:
    run = run_playbook(name, options=options, quiet=True)
    assert run.returncode == 0, run.output
    return run.output


def change(disk: Path, number: int, folder: Path) -> None:
    """A day's work on the root: something new, something gone."""
    [root, *_] = [each for each in independent.partitions(disk) if each.kind == "ext4"]
    new = folder / "new"
    new.write_bytes(os.urandom(4 << 20))
    script = folder / "debugfs"
    script.write_text(f'rm /var/new-{number - 2}\nwrite "{new}" /var/new-{number}\n')
    inside = f"{disk}?offset={root.start}"
    subprocess.run(["debugfs", "-w", "-f", script, inside], check=True, capture_output=True)
    subprocess.run(["e2fsck", "-fn", inside], check=True, capture_output=True)


def back_up(lab: Lab, folder: Path, name: str, disk: Path) -> None:
    bench = Bench(lab, folder, "bench")
    bench.enter("backup", name)
    try:
        bench.work("backup", str(disk), "--name", name)
    finally:
        bench.leave()


def unnamed(store: Path) -> dict[str, int]:
    named = set[str]().union(*map(named_by, manifests(store).values()))
    return {name: size for name, size in files_of(store).items() if name not in named}


def age(store: Path, digests: list[str]) -> None:
    then = time.time() - 3 * 86400
    for each in digests:
        os.utime(store / "chunks" / each[:2] / each[2:4] / each, (then, then))


def test_the_store_of_a_real_server_holds_what_is_named_and_what_is_pending(
    lab: Lab, server: Server, disks: dict[str, Path], rules: None, tmp_path: Path
) -> None:
    store = server.root / STORE
    for number in range(ROUNDS):
        for name, disk in disks.items():
            change(disk, number, tmp_path)
            back_up(lab, tmp_path, name, disk)
    doomed = {f"{name}@{each}" for name in disks for each in versions(server, name)[KEPT:]}
    assert len(doomed) == len(disks) * (ROUNDS - KEPT)
    pruned = play("prune", "--diff")
    assert {each for each in doomed if f"-{each}" not in pruned} == set()
    assert {name: len(versions(server, name)) for name in disks} == dict.fromkeys(disks, KEPT)
    for each in doomed:
        play("trash", f"-e empty={each}")
    free = unnamed(store)
    # Some were sent long ago, the others just now.
    old = sorted(free)[::2]
    age(store, old)
    before = sum(files_of(store).values())
    play("collect")
    done = admin(server, "GET", "/v1/upkeep")[1]["collection"]
    counted = accounted(store, frozenset(free) - set(old))
    assert {key: done[key] for key in counted} == counted
    assert done["removed_bytes"] == sum(free[each] for each in old)
    assert sum(files_of(store).values()) == before - done["removed_bytes"]
    assert done["removed_bytes"] > 1 << 20 and counted["pending"] > 0
    print({key: done[key] for key in (*counted, "removed", "removed_bytes")})

    # A day later those go, too, and what is left is whole.
    age(store, list(free.keys() - set(old)))
    play("collect")
    assert accounted(store)["kept"] == counted["kept"]
    for name, disk in disks.items():
        for each in versions(server, name):
            check = admin(server, "POST", f"/v1/images/{name}/{each}/check")[1]
            assert check["state"] == "sound", check
        bench = Bench(lab, tmp_path, "bench")
        bench.enter("restore", name)
        target = tmp_path / "target.img"
        with target.open("wb") as file:
            file.truncate(disk.stat().st_size)
        bench.work("restore", name, str(target))
        bench.leave()
        ranges = independent.used_ranges(disk)
        assert independent.differing(disk, target, ranges) == []
        target.unlink()
