"""A smaller disk: the file system that would be cut is made smaller, what lies behind it moves."""

from pathlib import Path

import pytest
from conftest import Agent
from disk_builder import (
    FILL,
    MAKERS,
    MIB,
    attached,
    check,
    filled,
    mounted,
    sh,
    sha256,
)

pytestmark = pytest.mark.storage

GIB = 1 << 30
ESP, RECOVERY = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC"


def build(room: Path, kind: str, size: int, tree: Path, behind: str = "") -> Path:
    """An EFI partition, a large one of a kind whose files lie far apart, and one behind it."""
    source = room / "source"
    with source.open("wb") as file:
        file.truncate(size)
    last = size // MIB - 1 - (64 if behind else 0)
    lines = [
        "label: gpt",
        f"start=1MiB, size=63MiB, type={ESP}",
        f"start=64MiB, size={last - 64}MiB",
    ]
    if behind:
        lines.append(f"start={last}MiB, size=62MiB, type={RECOVERY}")
    with attached(source) as device:
        sh("sfdisk", "-q", "--no-reread", "--no-tell-kernel", device, input="\n".join(lines))
    parts = [("fat32", MIB, 63 * MIB), (kind, 64 * MIB, (last - 64) * MIB)]
    if behind:
        parts.append((behind, last * MIB, 62 * MIB))
    for content, offset, length in parts:
        with attached(source, 512, offset, length) as device:
            link = room / "device"
            link.unlink(missing_ok=True)
            link.symlink_to(device)
            MAKERS[content](link, 512, tree)
    return source


def files(path: Path, offset: int, size: int, room: Path, kind: str, tree: Path) -> dict[str, str]:
    """The hash of each file, read by the kernel or by ntfs-3g."""
    copy = room / "piece"
    sh("dd", f"if={path}", f"of={copy}", "bs=1M", f"skip={offset // MIB}", f"count={size // MIB}",
       "conv=sparse", "status=none")  # fmt: skip
    options = {"ntfs": ("-t", "ntfs-3g", "-o", "ro")}.get(kind, ("-o", "ro,loop"))
    with mounted(copy, *options) as point:
        found = {
            str(each.relative_to(point)): sha256(each)
            for each in sorted(point.rglob("*"))
            if each.is_file()
        }
    check(copy, kind, 512, tree)
    copy.unlink()
    return found


def places(path: Path) -> list[tuple[int, int, str]]:
    """Start and size in bytes, and type, of each line of the table."""
    rows = [row for row in sh("sfdisk", "--dump", path).splitlines() if "start=" in row]
    words = [row.replace(",", " ").replace("=", " ").split() for row in rows]
    return [
        (
            int(row[row.index("start") + 1]) * 512,
            int(row[row.index("size") + 1]) * 512,
            row[row.index("type") + 1],
        )
        for row in words
    ]


@pytest.mark.parametrize("kind", ["ext4", "ntfs", "btrfs"])
@pytest.mark.parametrize("behind", ["", "ntfs"])
def test_a_smaller_disk(kind: str, behind: str, agent: Agent, room: Path, tree: Path) -> None:
    source = build(room, kind, 3 * GIB, tree, behind)
    agent("backup", source, "--name", "pc").ok()
    images = sh("find", agent.store / "images", "-type", "f", "-exec", "sha256sum", "{}", "+")
    target = filled(room / "target", GIB)
    restore = ("restore", "pc", "--target", f"disk0={target}")
    assert agent(*restore, "--dry-run").ok()["changed"] is True
    assert target.read_bytes().count(FILL) == GIB
    outcome = agent(*restore)
    assert outcome.ok()["changed"] is True
    said = [each["message"] for each in outcome.records if each["type"] == "warning"]
    assert any("file system is made smaller" in each for each in said), said
    assert "No problems found" in sh("sgdisk", "-v", target)
    before, after = places(source), places(target)
    assert [each[2] for each in before] == [each[2] for each in after]
    for (start, size, _), (new_start, new_size, _), content in zip(
        before, after, ["fat32", kind, behind], strict=False
    ):
        if content not in ("", "fat32"):
            expected = files(source, start, size, room, content, tree)
            assert files(target, new_start, new_size, room, content, tree) == expected
    assert (
        sh("find", agent.store / "images", "-type", "f", "-exec", "sha256sum", "{}", "+") == images
    )
    again = agent(*restore).ok()
    if kind != "btrfs":
        assert again["changed"] is False
