# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the imaging environment, in one virtual PC for all of it.

Its battery clock is years ahead until the tests of `guest_clock`, which come first, have checked
in; those of `guest` then have the server's time.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .guest_pc import SECONDS, run_tests
from .wrong_clock import wrong_clock

FOLDERS = ("guest_clock", "guest")
HERE = Path(__file__).parent


def names(slow: bool) -> Iterator[str]:
    """What the guest has to report; found without importing what only works there."""
    for file in sorted(file for each in FOLDERS for file in (HERE / each).glob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marked = "pytest.mark.slow" in map(ast.unparse, node.decorator_list)
                if slow or not marked:
                    yield f"{file.name}::{node.name}"


@pytest.fixture(scope="module")
def reports(space: Path) -> dict[str, dict[str, Any]]:
    return run_tests(space, FOLDERS, **wrong_clock(space, "2040-06-01T12:00:00"))


@pytest.fixture(scope="module")
def all_reports(space: Path) -> dict[str, dict[str, Any]]:
    return run_tests(space, FOLDERS, **wrong_clock(space, "2001-01-01T00:00:00", "guest.slow"))


# One worker boots the guest once for all of them, and, as the largest group, first.
@pytest.mark.every_case
@pytest.mark.xdist_group("guest")
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", list(names(slow=False)))
def test_in_guest(name: str, reports: dict[str, dict[str, Any]]) -> None:
    has_passed(name, reports)


@pytest.mark.slow
@pytest.mark.xdist_group("all of the guest")
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", list(names(slow=True)))
def test_all_in_guest(name: str, all_reports: dict[str, dict[str, Any]]) -> None:
    has_passed(name, all_reports)


def has_passed(name: str, reports: dict[str, dict[str, Any]]) -> None:
    mine = [r for key, r in reports.items() if key.partition("[")[0] == name]
    assert mine, f"the guest did not report {name}"
    failed = [f"{r['name']}: {r['text']}" for r in mine if r["outcome"] != "passed"]
    assert not failed, "\n".join(failed)
