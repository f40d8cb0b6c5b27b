# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the README's table that needs the environment's kernel."""

from pathlib import Path

import pytest

from ..cases import Case, find, rows
from ..conftest import Agent
from ..proof import prove

SLOW = {"exfat", "f2fs", "reiserfs-1k", "lvm-pieces", "luks1", "luks2", "luks-lvm"}


@pytest.mark.parametrize("case", rows(find(guest=True), SLOW))
def test_round_trip(case: Case, agent: Agent, room: Path, tree: Path) -> None:
    prove(case, agent, room, tree)
