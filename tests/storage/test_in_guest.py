# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test of the folder `guest`, run by one virtual PC inside the imaging environment."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .guest_pc import SECONDS, run_tests

GUEST = Path(__file__).parent / "guest"


def names(slow: bool) -> Iterator[str]:
    """What the guest has to report; found without importing what only works there."""
    for file in sorted(GUEST.glob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marked = "pytest.mark.slow" in map(ast.unparse, node.decorator_list)
                if slow or not marked:
                    yield f"{file.name}::{node.name}"


@pytest.fixture(scope="module")
def reports(space: Path) -> dict[str, dict[str, Any]]:
    return run_tests(space)


@pytest.fixture(scope="module")
def all_reports(space: Path) -> dict[str, dict[str, Any]]:
    return run_tests(space, words=["guest.slow"])


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
