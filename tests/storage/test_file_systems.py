# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the README's table that this machine's kernel can build."""

from pathlib import Path

import pytest

from .cases import Case, find, rows
from .conftest import Agent
from .proof import prove

# Another shape of what a faster row shows, too.
SLOW = {
    *("ext4-1k", "ext4-2k", "ext4-64k", "ext4-no-64bit", "ext4-4kn", "xfs-1k", "xfs-nrext64"),
    *("btrfs-dup-data", "btrfs-single", "btrfs-mixed", "btrfs-64k"),
    *("ntfs-512", "ntfs-64k", "ntfs-256k", "fat12-4kn", "fat32-one", "fat32-4kn"),
    *("swap-64k", "zeros"),
}


@pytest.mark.every_case
@pytest.mark.parametrize("case", rows(find(guest=False), SLOW))
def test_round_trip(case: Case, agent: Agent, room: Path, tree: Path) -> None:
    prove(case, agent, room, tree)
