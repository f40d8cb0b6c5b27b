# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the lab down ends what is the lab's, and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slipway_lab import config, down, owner, traces
from slipway_lab.errors import LabError
from slipway_lab.tools import TAG, remove_tree

Settle = Callable[[subprocess.Popen[bytes]], object]
NAMESPACE = "lab-under-test"
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (config, owner, down, traces):
        monkeypatch.setattr(module, "run_dir", lambda namespace: tmp_path / "run" / namespace)
    monkeypatch.setattr(traces, "NSPAWN_RUN", tmp_path / "nspawn")
    folder = tmp_path / "checkout" / ".lab"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_the_labs_processes_die_and_others_live(
    state: Path, bystander: subprocess.Popen[bytes], settled: Settle
) -> None:
    ours = subprocess.Popen(SLEEP, env={**os.environ, TAG: str(state)})
    other = subprocess.Popen(SLEEP, env={**os.environ, TAG: f"{state}-of-another"})
    try:
        for process in (ours, other, bystander):
            settled(process)
        removed = down.down(NAMESPACE, state, state.parent / ".cache")
        assert any(str(ours.pid) in line for line in removed)
        assert ours.wait(5) == -9
        assert other.poll() is None
        assert bystander.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_logs_and_caches_stay_and_nothing_else(state: Path) -> None:
    for name in ("consoles/pc1.log", "logs/build.log", "disks/pc1.img", "server/etc/passwd"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).touch()
    (state / "power.log").touch()
    cache = state.parent / ".cache" / "lab"
    cache.mkdir(parents=True)
    (cache / "server-1.tar").touch()
    (cache / "server-2.part").touch()
    owner.claim(NAMESPACE, state)
    down.down(NAMESPACE, state, cache.parent)
    assert sorted(p.name for p in state.iterdir()) == ["consoles", "logs", "power.log"]
    assert [p.name for p in cache.iterdir()] == ["server-1.tar"]
    assert not owner.record(NAMESPACE).exists()
    assert traces.leftovers(NAMESPACE, state) == []


def test_twice_is_fine(state: Path) -> None:
    down.down(NAMESPACE, state, state.parent / ".cache")
    assert down.down(NAMESPACE, state, state.parent / ".cache") == []


def attempts(state: Path) -> list[Callable[[], object]]:
    return [
        lambda: owner.claim(NAMESPACE, state),
        lambda: down.down(NAMESPACE, state, state.parent / ".cache"),
    ]


def test_the_running_lab_of_another_checkout_is_left_alone(
    state: Path, tmp_path: Path, settled: Settle
) -> None:
    theirs = tmp_path / "elsewhere" / ".lab"
    owner.claim(NAMESPACE, theirs)
    with subprocess.Popen(SLEEP, env={**os.environ, TAG: str(theirs)}) as process:
        settled(process)
        for attempt in attempts(state):
            with pytest.raises(LabError, match=f"belongs to the checkout {theirs.parent}"):
                attempt()
        assert process.poll() is None
        process.kill()
    assert json.loads(owner.record(NAMESPACE).read_text())["state"] == str(theirs)


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_dead_lab_of_another_checkout_is_cleared_away(
    state: Path, tmp_path: Path, attempt: int
) -> None:
    theirs = tmp_path / "elsewhere" / ".lab"
    theirs.mkdir(parents=True)
    (theirs / "disk").touch()
    owner.claim(NAMESPACE, theirs)
    (owner.record(NAMESPACE).parent / "server.pid").write_text("1\n")
    attempts(state)[attempt]()
    assert not (owner.record(NAMESPACE).parent / "server.pid").exists()
    assert (theirs / "disk").exists()


def test_work_on_the_lab_is_done_by_one_at_a_time(state: Path) -> None:
    with (
        owner.busy(state),
        pytest.raises(LabError, match="Another process is working"),
        owner.busy(state),
    ):
        pass
    with owner.busy(state):
        pass


def test_nothing_mounted_is_ever_deleted_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "root"
    (tree / "dev").mkdir(parents=True)
    monkeypatch.setattr("slipway_lab.tools.mounts", lambda below: [str(below / "dev")])
    with pytest.raises(LabError, match="is mounted"):
        remove_tree(tree)
    assert (tree / "dev").exists()
