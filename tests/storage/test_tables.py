# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition tables of every kind: what other tools read on the restored disk is the same."""

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import MIB, attached, filled, make_ext, same_ranges, sh
from .hashes import hash_of

LOGICALS = 20
NOISE = random.Random(11).randbytes(200 * 512)

# Extended, with holes between the logical partitions, behind the last, and behind the container.
MANY = [
    "label: dos",
    "label-id: 0xc0ffee01",
    "start=1MiB, size=8MiB, type=7, bootable",
    "start=10MiB, size=80MiB, type=5",
    "start=92MiB, size=2MiB, type=12",
    "start=95MiB, size=1MiB, type=1b",
    *(f"start={11 + 3 * i}MiB, size={1 + i % 2}MiB, type=83" for i in range(LOGICALS)),
]
NAMED = [
    "label: gpt",
    "label-id: 01234567-89AB-CDEF-0123-456789ABCDEF",
    "table-length: 128",
    '1: start=1MiB, size=8MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI", '
    'uuid=11111111-2222-3333-4444-555555555555, attrs="RequiredPartition GUID:62,63"',
    "3: start=20MiB, size=4MiB, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE, "
    'name="Microsoft reserved partition", attrs="NoBlockIOProtocol LegacyBIOSBootable"',
    '7: start=40MiB, size=20MiB, type=L, name="\u5bb6 gr\u00f6\u00dfer \u00e9"',
]
FEW = ["label: gpt", "table-length: 4", "4: start=1MiB, size=8MiB", "1: start=30MiB, size=8MiB"]
MORE = ["label: gpt", "table-length: 256", "1: start=1MiB, size=8MiB", "200: start=9MiB, size=1MiB"]
FOUR = ["label: dos", *(f"start={1 + 12 * i}MiB, size=10MiB, type=83" for i in range(4))]
LAST_SECTOR = ["label: dos", "start=1MiB, type=83"]
BARE = ["label: gpt"]
ONE = ["label: dos", "start=1MiB, size=8MiB, type=83"]

Change = Callable[[Path], object]


def hybrid(path: Path) -> None:
    """The first partition also stands in the MBR, as some boot loaders of Macs want it."""
    sh("sgdisk", "--hybrid=1:EE", path)


def moved_entries(path: Path) -> None:
    """The entries of the primary table lie behind a gap, as some ARM boards need it."""
    sh("sgdisk", "--move-main-table=100", path)


def broken_primary(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(512 + 40)
        file.write(b"\xff")


def grown(path: Path) -> None:
    """The disk became larger and nobody moved the backup table to its new end."""
    with path.open("r+b") as file:
        file.truncate(130 * MIB)


def empty_entries(path: Path) -> None:
    """Entries of an MBR that are no partitions: without sectors, and of the type of no use."""
    with path.open("r+b") as file:
        for at, kind, start, count in ((478, 0x83, 150_000, 0), (494, 0, 100, 1 << 30)):
            file.seek(at)
            file.write(bytes([0, 0, 0, 0, kind, 0, 0, 0]) + struct.pack("<II", start, count))


def backward_entry(path: Path) -> None:
    """An entry of a GPT that ends before it starts, with checksums that are right."""
    disk = bytearray(path.read_bytes())
    for at in (512, len(disk) - 512):
        header = disk[at : at + 512]
        (table,) = struct.unpack_from("<Q", header, 72)
        entries = disk[table * 512 : table * 512 + 16384]
        entries[128:256] = (
            entries[:16] + bytes(range(16)) + struct.pack("<QQ", 90_000, 80_000) + bytes(80)
        )
        disk[table * 512 : table * 512 + 16384] = entries
        struct.pack_into("<I", header, 88, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
        disk[at : at + 512] = header
    path.write_bytes(disk)


CASES: dict[str, tuple[int, list[str], Change | None]] = {
    "many-logicals": (512, MANY, None),
    "many-logicals-4k": (4096, MANY, None),
    "four-primaries": (512, FOUR, None),
    "dos-to-the-last-sector": (512, LAST_SECTOR, None),
    "dos-empty": (512, ["label: dos"], None),
    "names-and-attributes": (512, NAMED, None),
    "names-and-attributes-4k": (4096, NAMED, None),
    "hybrid": (512, NAMED, hybrid),
    "4-entries": (512, FEW, None),
    "4-entries-4k": (4096, FEW, None),
    "256-entries": (512, MORE, None),
    "256-entries-4k": (4096, MORE, None),
    "moved-entries": (512, NAMED, moved_entries),
    "broken-primary": (512, NAMED, broken_primary),
    "backup-inside": (512, NAMED, grown),
    "gpt-empty": (512, BARE, None),
    "dos-entries-that-are-none": (512, ONE, empty_entries),
    "gpt-entry-that-is-none": (512, NAMED, backward_entry),
}


def build(path: Path, sector: int, lines: list[str], change: Change | None, tree: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * MIB)
        file.write(NOISE[:440])
        file.seek(50 * sector)
        file.write(NOISE)
    # sfdisk places logical partitions and their records by sector, so units are spelled out.
    script = "\n".join(lines)
    with attached(path, sector) as device:
        sh("sfdisk", "-q", "--wipe=never", "--no-reread", "--no-tell-kernel", device, input=script)
    if change is not None:
        change(path)
    for start, size in partitions(path, sector)[:1]:
        content = path.with_name("content")
        with content.open("wb") as file:
            file.truncate(min(size, 8 * MIB))
        make_ext("ext4", "-b", "4096")(content, sector, tree / "folder1")
        sh(
            "dd",
            f"if={content}",
            f"of={path}",
            "bs=1M",
            f"seek={start // MIB}",
            "conv=notrunc",
            "status=none",
        )


def dump(path: Path, sector: int) -> str:
    """The table as sfdisk reads it, without the device's name."""
    with attached(path, sector) as device:
        text = sh("sfdisk", "--dump", device)
        return text.replace(str(device), "DISK")


def partitions(path: Path, sector: int) -> list[tuple[int, int]]:
    """Start and size in bytes of everything that is no container."""
    rows = [line.replace(",", " ").split() for line in dump(path, sector).splitlines()]
    found = []
    for row in rows:
        words = {word.rstrip("="): row[i + 1] for i, word in enumerate(row) if word.endswith("=")}
        kind = next((word for word in row if word.startswith("type=")), "")
        if "start" in words and int(words["size"]) and kind not in ("type=5", "type=0"):
            found.append((int(words["start"]) * sector, int(words["size"]) * sector))
    return found


def resigned(half: bytearray, at: int, entries: int) -> None:
    """Checksums of a copy that are right again; `at` is the header, `entries` what it tells of."""
    struct.pack_into("<I", half, at + 88, zlib.crc32(half[entries : entries + 16384]))
    struct.pack_into("<I", half, at + 16, 0)
    struct.pack_into("<I", half, at + 16, zlib.crc32(half[at : at + 92]))


def other_backup(path: Path) -> None:
    """Both copies are sound, and a partition has another end in the backup."""
    disk = bytearray(path.read_bytes())
    entries = len(disk) - 33 * 512
    struct.pack_into("<Q", disk, entries + 40, 12345)
    resigned(disk, len(disk) - 512, entries)
    path.write_bytes(disk)


def broken(*places: int) -> Change:
    """One byte is another in each place, from the end where it is negative."""

    def change(path: Path) -> None:
        with path.open("r+b") as file:
            for place in places:
                file.seek(place, 2 if place < 0 else 0)
                file.write(b"\x5a")

    return change


@pytest.mark.parametrize(
    ("change", "said", "partitions"),
    [
        (other_backup, "sound and differ", {"1", "3", "7"}),
        (broken(1024 + 32), "the backup at the disk's end is used", {"1", "3", "7"}),
        (broken(512 + 40), "the backup at the disk's end is used", {"1", "3", "7"}),
        (broken(-33 * 512 + 32), "damaged or missing", {"1", "3", "7"}),
        (broken(-512), "damaged or missing", {"1", "3", "7"}),
        (broken(1024 + 32, -33 * 512 + 33), "neither copy of that is sound", {"1"}),
        (broken(512 + 40, -512 + 41), "neither copy of that is sound", {"1"}),
    ],
)
def test_copies_that_are_damaged_or_differ_are_told_and_stay_as_they_are(
    change: Change, said: str, partitions: set[str], agent: Agent, room: Path, tree: Path
) -> None:
    source, target = room / "source", room / "target"
    build(source, 512, NAMED, None, tree)
    change(source)
    [look] = agent("probe", source).ok()["disks"]
    run = agent("backup", source, "--name", "pc")
    warnings = [each["message"] for each in run.records if each["type"] == "warning"]
    assert [said in each for each in warnings] == [True] and look["warnings"] == warnings
    assert {each["partition"] for each in run.ok()["disks"][0]["partitions"]} == partitions
    filled(target, source.stat().st_size)
    agent("restore", "pc", target).ok()
    ends = [(0, MIB), (source.stat().st_size - 33 * 512, source.stat().st_size)]
    same_ranges(source, target, ends)
    assert agent("compare", "pc", target).code == 0


@pytest.mark.parametrize("case", CASES)
def test_table_comes_back(case: str, agent: Agent, room: Path, tree: Path) -> None:
    sector, lines, change = CASES[case]
    source, size = room / "source", 100 * MIB
    build(source, sector, lines, change, tree)
    size = source.stat().st_size
    before, expected = hash_of(source), dump(source, sector)
    target = filled(room / "target", size)
    with attached(source, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    assert hash_of(source) == before
    with attached(target, sector) as device:
        agent("restore", "pc", device).ok()
    assert dump(target, sector) == expected
    # All that is no partition and no long gap is equal byte for byte, boot loaders included.
    places = sorted(partitions(source, sector))
    ranges, position = [], 0
    for start, length in [*places, (size, 0)]:
        if start - position <= 16 * MIB:
            ranges.append((position, start))
        else:
            ranges += [(position, position + MIB), (start - MIB, start)]
        position = start + length
    same_ranges(source, target, ranges)
    for start, length in places[:1]:
        same_ranges(source, target, [(start, start + min(length, MIB))])
    if "label: gpt" in lines:
        with attached(target, sector) as device:
            verdict = sh("sgdisk", "-v", device, ok=(0, 2) if change else (0,))
        assert change is not None or "No problems found" in verdict, verdict
    with attached(target, sector) as device:
        assert agent("restore", "pc", device).ok()["changed"] is False


@pytest.mark.parametrize(
    "case",
    [
        "names-and-attributes",
        "4-entries-4k",
        "256-entries",
        "256-entries-4k",
        "hybrid",
        "moved-entries",
        "many-logicals",
        "backup-inside",
    ],
)
def test_table_on_a_larger_disk(case: str, agent: Agent, room: Path, tree: Path) -> None:
    """The backup table goes to the new end whatever its size; partitions stay as they were."""
    sector, lines, change = CASES[case]
    source = room / "source"
    build(source, sector, lines, change, tree)
    target = filled(room / "target", source.stat().st_size + 64 * MIB)
    with attached(source, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    with attached(target, sector) as device:
        agent("restore", "pc", "--target", f"disk0={device}").ok()
        if "label: gpt" in lines:
            verdict = sh("sgdisk", "-v", device, ok=(0,) if change is None else (0, 2))
            assert "No problems found" in verdict or change is hybrid, verdict
            assert "The secondary header" not in verdict
    assert partitions(target, sector) == partitions(source, sector)
    lists = [
        [line for line in dump(path, sector).splitlines() if line.startswith("DISK")]
        for path in (source, target)
    ]
    assert lists[0] == lists[1]
