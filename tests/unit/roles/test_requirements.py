# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tested is what is installed: one version of each package in all lists."""

from __future__ import annotations

from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements"


def pins(name: str) -> set[str]:
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return {line.split(" ")[0] for line in lines if "==" in line and line[0] not in "# "}


@pytest.mark.parametrize("name", ["runtime", "server", "runner", "web"])
def test_packages_of_a_server_are_those_that_are_tested(name: str) -> None:
    assert pins(name)
    assert pins(name) - pins("dev") == set()


def test_parts_of_one_server_have_the_same_packages() -> None:
    assert pins("web") | pins("runner") <= pins("server") | pins("runtime")


def test_the_runner_has_what_the_controller_runs_playbooks_with() -> None:
    assert pins("runtime") <= pins("runner")
