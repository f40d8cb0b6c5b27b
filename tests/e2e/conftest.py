# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab for whole-trip tests: brought up once, taken down at the end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

from .control import unplug

KEEP = "SLIPWAY_KEEP_LAB"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder, so that no test can forget to."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab that is up and configured; down again afterwards unless SLIPWAY_KEEP_LAB is set."""
    if os.geteuid() != 0:
        pytest.fail("The e2e tier needs root: `make test-e2e` asks for it.")
    assert run_playbook("lab_up", quiet=True).returncode == 0
    assert run_playbook("site", quiet=True).returncode == 0
    yield Lab.load()
    unplug()
    if not os.environ.get(KEEP):
        assert run_playbook("lab_down", quiet=True).returncode == 0


@pytest.fixture(autouse=True)
def all_pcs_are_off(request: pytest.FixtureRequest, lab: Lab) -> None:
    """A PC that is on can't be woken: no test inherits one, unless it says so (`goes_on`)."""
    if request.node.get_closest_marker("goes_on") is None:
        for pc in lab.pcs:
            pc.cut_power()


@pytest.fixture
def pc1(lab: Lab) -> Pc:
    return lab.pc("pc1")


@pytest.fixture
def pc2(lab: Lab) -> Pc:
    return lab.pc("pc2")


@pytest.fixture
def server(lab: Lab) -> Server:
    return lab.server


def ansible_playbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as a person would, from the top of the checkout."""
    binary = Path(sys.executable).with_name("ansible-playbook")
    return subprocess.run(
        [str(binary), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
