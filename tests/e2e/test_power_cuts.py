# SPDX-License-Identifier: GPL-3.0-or-later
"""The plug of pc2 is pulled at work: it costs that session and no other, and leaves no half system.

The tests of this file run in their order, like those of test_trip.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import PlaybookRun, run_playbook

from . import independent
from .control import EACH_ITS_OWN, OFF, STAY, assert_sound, turned_on, versions
from .disk_files import copy, sha256

pytestmark = pytest.mark.slow
MIB = 1 << 20


@pytest.fixture(scope="module")
def original(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pc2's disk as it was made."""
    return copy(lab.pc("pc2").disk_path, tmp_path_factory.mktemp("original"))


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


@pytest.mark.usefixtures("original")
def test_a_power_cut_costs_that_backup_and_no_other(
    lab: Lab, server: Server, pc1: Pc, pc2: Pc
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
def test_the_next_backup_sends_what_is_missing(lab: Lab, server: Server, pc2: Pc) -> None:
    known = versions(server, "pc2")
    power = lab.power_log_offset()
    run = run_playbook("backup", limit="pc1,pc2", variables=STAY, quiet=True)
    assert run.returncode == 0, run.output
    # pc1 stayed in the environment and took its next session there.
    assert turned_on(lab, power) == {"pc2"}
    assert versions(server, "pc2")[1:] == known
    assert_sound("pc2")
    # The backup that lost its power had left chunks here.
    saved = run.results["pc2"]["disk_backup"]
    assert saved["sent"] < saved["stored"]


@pytest.mark.goes_on
def test_a_power_cut_leaves_no_half_system_that_boots(pc1: Pc, pc2: Pc) -> None:
    pc2.cut_power()
    pc2.overwrite_disk()
    since = pc2.console_offset()
    with running("restore", "pc2", EACH_ITS_OWN) as restoring:
        # Meanwhile pc1 is compared with its image, by a playbook of its own.
        with running("verify", "pc1", OFF) as verifying:
            pull_the_plug(pc2, "restore", since)
        assert verifying.result().returncode == 0, verifying.result().output
    assert restoring.result().returncode != 0
    assert "was lost while the agent worked" in " ".join(restoring.result().failures["pc2"])
    assert not independent.can_boot(pc2.disk_path)
    pc1.wait_until_off()


def test_the_half_restored_pc_comes_back_byte_for_byte(
    pc2: Pc, original: Path, tmp_path: Path
) -> None:
    run = run_playbook("restore", limit="pc2", variables=EACH_ITS_OWN | OFF, quiet=True)
    assert run.returncode == 0, run.output
    pc2.wait_until_off()
    independent.assert_came_back(original, copy(pc2.disk_path, tmp_path))
