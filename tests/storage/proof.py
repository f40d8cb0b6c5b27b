# SPDX-License-Identifier: GPL-3.0-or-later
"""What a row of the table has to stand: one function for the host and for the guest."""

from pathlib import Path

from .cases import Case
from .checks import CHECKS
from .conftest import Agent
from .disk_builder import MIB, attached, filled, same_ranges, sha256


def prove(case: Case, agent: Agent, room: Path, tree: Path) -> None:
    """Save, restore onto a dirty disk, compare outside the agent's code, check."""
    source, target = room / "source", room / "target"
    with source.open("wb") as file:
        file.truncate(case.size * MIB)
    case.make(source, case.sector, tree)
    before = sha256(source)
    filled(target, source.stat().st_size)
    arguments = []
    if case.key is not None:
        (room / "key").write_bytes(case.key)
        arguments = ["--luks-key", f"disk={room}/key"]
    with attached(source, case.sector) as device:
        saved = agent("backup", device, "--name", "pc", *arguments).ok()
    [part] = saved["disks"][0]["partitions"]
    assert (part["content"], part["method"]) == (case.content, case.method)
    assert sha256(source) == before
    with attached(target, case.sector) as device:
        agent("restore", "pc", device).ok()
        assert agent("compare", "pc", device).code == 0
    used = case.used(source)
    same_ranges(source, target, used)
    # No more than what is in use is saved; btrfs' first MiB belongs to boot loaders.
    total = sum(end - start for start, end in used)
    assert total - case.sector <= part["bytes_used"] <= total + 2 * MIB
    for check in case.checks:
        assert CHECKS[check](target, case) == CHECKS[check](source, case), check
