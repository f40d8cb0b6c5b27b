# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of the matrix: brought up once, its PCs run two at a time."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc

from . import results
from .results import Row
from .trip import PCS, STATE, play, trip

KEEP = "SLIPWAY_KEEP_LAB"
AT_A_TIME = int(os.environ.get("AT_A_TIME", "2"))
_ONE_WRITER = threading.Lock()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder, so that no test can forget to."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.matrix)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each PC of the inventory is a test of its own."""
    if "pc" in metafunc.fixturenames:
        metafunc.parametrize("pc", PCS)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab that is up and configured; down again afterwards unless SLIPWAY_KEEP_LAB is set."""
    if os.geteuid() != 0:
        pytest.fail("The matrix needs root: `make matrix` asks for it.")
    play("lab_up")
    play("site")
    play("boot_media")
    found = Lab.load(STATE)
    for pc in found.pcs:
        pc.cut_power()
    yield found
    if not os.environ.get(KEEP):
        play("lab_down")


@pytest.fixture(scope="session")
def trips(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Row]]]:
    """The trips of all PCs that were chosen, under way or done."""
    items = [item for item in request.session.items if "pc" in item.fixturenames]
    names = [item.callspec.params["pc"] for item in items]
    folder = tmp_path_factory.mktemp("originals")
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        yield {name: threads.submit(measure, lab, lab.pc(name), folder) for name in names}


def measure(lab: Lab, pc: Pc, folder: Path) -> Row:
    """Make the trip, and keep its row at once: what was measured survives a run that is ended."""
    row = trip(lab, pc, folder)
    with _ONE_WRITER:
        results.keep(pc.name, row)
    return row
