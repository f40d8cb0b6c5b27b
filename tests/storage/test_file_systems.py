# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the README's table that this machine's kernel can build."""

from pathlib import Path

import pytest

from .cases import Case, find
from .conftest import Agent
from .proof import prove


@pytest.mark.every_case
@pytest.mark.parametrize("case", find(guest=False), ids=lambda case: case.id)
def test_round_trip(case: Case, agent: Agent, room: Path, tree: Path) -> None:
    prove(case, agent, room, tree)
