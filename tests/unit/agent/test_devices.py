# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks as lsblk lists them, tables as sfdisk does, programs as they end."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine import devices, gpt
from slipway.engine.devices import find_disk, fixed_disks, list_disks
from slipway.engine.errors import SourceRefused, ToolError, UsageError
from slipway.engine.run import at_most, head, lines, run
from slipway.engine.table import layout, read_table
from slipway.format import Extents, FormatError, Table, TablePartition

from ...fixtures.lsblk import block_device

MIB = 1 << 20


def device(name: str, **facts: Any) -> dict[str, Any]:
    return block_device(name, **{"size": 10 * MIB, **facts})


def test_fixed_disks(mock_command: Callable[..., Any]) -> None:
    listed = [
        device(
            "sda",
            serial="S1",
            wwn="0x5",
            model="M  1",
            tran="sata",
            children=[device("sda1", type="part", mountpoints=["/", "/srv"])],
        ),
        device("nvme0n1", tran="nvme"),
        device("vda"),
        device("mmcblk0", tran="mmc"),
        device("sdb", tran="usb"),
        device("sdc", rm=True),
        device("sdd", ro=True),
        device("sde", size=0),
        device("zram0"),
        device("ram0"),
        device("nbd0"),
        device("fd0"),
        device("mmcblk0boot0"),
        device("loop0", type="loop"),
        device("sr0", type="rom"),
        device("dm-0", type="lvm"),
    ]
    lsblk = mock_command("lsblk", json.dumps({"blockdevices": listed}))
    names = [disk.path.name for disk in fixed_disks()]
    assert names == ["mmcblk0", "nvme0n1", "sda", "vda"]
    sda = next(disk for disk in list_disks() if disk.path.name == "sda")
    assert (sda.identity.serial, sda.identity.wwn, sda.identity.model) == ("S1", "0x5", "M 1")
    assert sda.mounts == ("/", "/srv")
    assert "--json" in lsblk.calls[0]


@pytest.mark.parametrize(
    ("kind", "fixed"), [("MMC", True), ("SD", False), ("SDIO", False), ("SDcombo", False)]
)
def test_a_card_in_a_reader_is_no_disk_of_the_pc(
    mock_command: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fixed: bool,
) -> None:
    (tmp_path / "mmcblk0/device").mkdir(parents=True)
    (tmp_path / "mmcblk0/device/type").write_text(f"{kind}\n")
    monkeypatch.setattr(devices, "SYS_BLOCK", tmp_path)
    mock_command("lsblk", json.dumps({"blockdevices": [device("mmcblk0", tran="mmc")]}))
    [disk] = list_disks()
    assert (disk.fixed, disk.removable) == (fixed, not fixed)


def test_disks_of_a_network_or_another_disk_are_not_taken(
    mock_command: Callable[..., Any],
) -> None:
    names = ["rbd0", "drbd1", "zd16", "bcache0", "mspblk0", "ubiblock0_1", "mtdblock0"]
    mock_command("lsblk", json.dumps({"blockdevices": [device(name) for name in names]}))
    assert fixed_disks() == ()


def test_files_stand_in_for_disks(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(MIB))
    assert (find_disk(path).size, find_disk(path).logical_sector) == (MIB, 512)
    path.write_bytes(bytes(4096) + b"EFI PART" + bytes(MIB - 4104))
    assert find_disk(path).logical_sector == 4096
    for wrong in (b"", bytes(1000)):
        path.write_bytes(wrong)
        with pytest.raises(UsageError):
            find_disk(path)
    with pytest.raises(UsageError):
        find_disk(tmp_path)


def test_table(mock_command: Callable[..., Any]) -> None:
    partition = {"node": "/dev/nvme0n1p2", "start": 2048, "size": 8, "type": "X", "name": "a\nb"}
    table = {
        "label": "gpt",
        "id": "G",
        "device": "/dev/nvme0n1",
        "firstlba": 34,
        "lastlba": 99,
        "partitions": [partition],
    }
    mock_command("sfdisk", json.dumps({"partitiontable": table}))
    assert read_table(Path("/dev/nvme0n1")) == Table(
        "gpt", "G", 34, 99, (TablePartition(2, 2048, 8, "X", name="a b"),)
    )


@pytest.mark.parametrize(
    "nothing", [{"size": 0}, {"type": "0"}, {"type": "0x0"}, {"start": 0, "size": 0}]
)
def test_entries_that_are_no_partitions(
    mock_command: Callable[..., Any], nothing: dict[str, Any]
) -> None:
    lines = [
        {"node": "x1", "start": 2048, "size": 8, "type": "83"},
        {"node": "x2", "start": 50000, "size": 7, "type": "83"} | nothing,
    ]
    table = {"label": "dos", "id": "1", "device": "x", "partitions": lines}
    mock_command("sfdisk", json.dumps({"partitiontable": table}))
    assert [line.number for line in read_table(Path("x")).partitions] == [1]


@pytest.mark.parametrize(
    ("code", "stderr"), [(1, "sfdisk: x: does not contain a recognized partition table")]
)
def test_no_table(mock_command: Callable[..., Any], code: int, stderr: str) -> None:
    mock_command("sfdisk", "", code, stderr)
    assert read_table(Path("x")) == Table("none")
    mock_command("sfdisk", "", code, "sfdisk: cannot open x")
    with pytest.raises(ToolError):
        read_table(Path("x"))


def partitions(*places: tuple[int, int]) -> tuple[TablePartition, ...]:
    """(start, size) in MiB."""
    return tuple(
        TablePartition(i + 1, start * 2048, size * 2048, "83")
        for i, (start, size) in enumerate(places)
    )


def shown(table: Table, handle: int, size: int) -> list[tuple[str, float, float]]:
    return [
        (each.kind, each.offset / MIB, each.size / MIB) for each in layout(table, handle, size, 512)
    ]


@pytest.fixture
def handle(tmp_path: Path) -> Any:
    with (tmp_path / "empty").open("w+b") as file:
        file.truncate(200 * MIB)
        yield file.fileno()


def test_layout_covers_tables_partitions_and_gaps(handle: int) -> None:
    table = Table("dos", partitions=partitions((1, 9), (20, 30)))
    assert shown(table, handle, 100 * MIB) == [
        ("boot", 0, 1),
        ("partition", 1, 9),
        ("gap", 10, 10),
        ("partition", 20, 30),
        ("gap", 50, 50),
    ]
    gap = layout(table, handle, 100 * MIB, 512)[-1]
    assert gap.used == Extents.of([(0, MIB), (49 * MIB, 50 * MIB)])


def test_layout_bounds_the_boot_area(handle: int) -> None:
    table = Table("dos", partitions=partitions((50, 50)))
    assert shown(table, handle, 100 * MIB)[:2] == [("boot", 0, 16), ("gap", 16, 34)]
    assert shown(Table("dos"), handle, 100 * MIB) == [("boot", 0, 16), ("gap", 16, 84)]


def test_layout_without_a_table(handle: int) -> None:
    assert shown(Table("none"), handle, 2 * MIB) == [
        ("boot", 0, 512 / MIB),
        ("partition", 0, 2),
    ]


@pytest.mark.parametrize("places", [[(1, 10), (5, 10)], [(1, 10), (1, 10)], [(1, 300)], [(1, 0)]])
def test_damaged_tables(places: list[tuple[int, int]], handle: int) -> None:
    with pytest.raises(SourceRefused, match="table is damaged"):
        layout(Table("dos", partitions=partitions(*places)), handle, 200 * MIB, 512)


def test_extended_records_in_a_circle(tmp_path: Path) -> None:
    """A chain that leads back to itself ends."""
    path = tmp_path / "disk"
    record = bytearray(512)
    record[466], record[510:] = 5, b"\x55\xaa"
    struct.pack_into("<I", record, 470, 2048)
    with path.open("w+b") as file:
        file.truncate(20 * MIB)
        for start in (1, 2):
            file.seek(start * MIB)
            file.write(record)
        file.flush()
        container = TablePartition(2, 2048, 10 * 2048, "5")
        kinds = shown(Table("dos", partitions=(container,)), file.fileno(), 20 * MIB)
    assert [each for each in kinds if each[0] == "ebr"] == [
        ("ebr", 1, 512 / MIB),
        ("ebr", 2, 512 / MIB),
    ]


def gpt_parts(entries: bytes) -> tuple[bytes, bytes]:
    """Boot area and backup of a GPT of 100 sectors, with 128 entries and right checksums."""
    mbr = bytearray(512)
    mbr[450] = 0xEE
    struct.pack_into("<II", mbr, 454, 1, 99)
    halves = []
    for own, other, table in ((1, 99, 2), (99, 1, 67)):
        header = bytearray(512)
        head = struct.pack("<8s4sI8x", b"EFI PART", b"\0\0\1\0", 92)
        places = struct.pack("<QQQQ16x", own, other, 34, 66)
        header[:92] = head + places + struct.pack("<QIII", table, 128, 128, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
        halves.append(bytes(header))
    return bytes(mbr) + halves[0] + entries, entries + halves[1]


def check_gpt(boot: bytes, tail: bytes, last: int) -> None:
    for sector, own, other, table in (
        (boot[512:1024], 1, last, 2),
        (tail[-512:], last, 1, last - 32),
    ):
        fields = struct.unpack_from("<QQQQ16xQ", sector, 24)
        assert fields == (own, other, 34, last - 33, table)
        plain = bytearray(sector)
        struct.pack_into("<I", plain, 16, 0)
        assert struct.unpack_from("<I", sector, 16)[0] == zlib.crc32(plain[:92])
    assert struct.unpack_from("<I", boot, 512 + 88)[0] == zlib.crc32(tail[:-512])
    assert boot[1024:] == tail[:-512]


@pytest.mark.parametrize("sectors", [200, 90])
def test_gpt_that_moves_keeps_its_checksums(sectors: int) -> None:
    entries = bytes(range(256)) * 64
    boot, tail, offset = gpt.place(*gpt_parts(entries), 512, (100 * 512, sectors * 512), {})
    assert offset == (sectors - 33) * 512
    assert tail[:-512] == entries
    assert struct.unpack_from("<II", boot, 454) == (1, sectors - 1)
    check_gpt(boot, tail, sectors - 1)


def test_gpt_partition_with_a_new_end() -> None:
    entries = bytearray(128 * 128)
    struct.pack_into("<QQ", entries, 2 * 128 + 32, 40, 49)
    boot, tail, _ = gpt.place(*gpt_parts(bytes(entries)), 512, (51200, 102400), {3: 100 * 512})
    assert struct.unpack_from("<QQ", boot, 1024 + 2 * 128 + 32) == (40, 99)
    check_gpt(boot, tail, 199)


def test_a_header_that_is_broken_in_the_image_is_not_made_valid() -> None:
    boot, tail = gpt_parts(bytes(128 * 128))
    broken = boot[:552] + b"\xff" + boot[553:]
    new_boot, new_tail, _ = gpt.place(broken, tail, 512, (51200, 102400), {})
    assert new_boot[512:1024] == broken[512:1024]
    assert struct.unpack_from("<QQ", new_tail[-512:], 24) == (199, 1)
    with pytest.raises(FormatError):
        gpt.place(broken, tail[:-490] + b"x" + tail[-489:], 512, (51200, 102400), {})


def test_broken_entries_get_no_good_checksum() -> None:
    """The sound copy would be hidden behind garbage, on a larger disk and with a new end alike."""
    entries = bytearray(128 * 128)
    struct.pack_into("<QQ", entries, 2 * 128 + 32, 40, 49)
    boot, tail = gpt_parts(bytes(entries))
    broken = boot[:1100] + b"garbage" + boot[1107:]
    for ends in ({}, {3: 100 * 512}):
        new_boot, new_tail, _ = gpt.place(broken, tail, 512, (51200, 102400), ends)
        assert not gpt.is_sound(new_boot, 512) and new_boot[512:] == broken[512:]
        last = 99 if ends else 49
        assert struct.unpack_from("<QQ", new_tail, 2 * 128 + 32) == (40, last)
        assert struct.unpack_from("<I", new_tail, len(new_tail) - 512 + 88)[0] == zlib.crc32(
            new_tail[:-512]
        )
    # The other way round: what is broken in the backup stays broken there.
    new_boot, new_tail, _ = gpt.place(boot, b"x" + tail[1:], 512, (51200, 102400), {3: 51200})
    assert gpt.is_sound(new_boot, 512) and new_tail == b"x" + tail[1:]


def test_a_backup_that_no_disk_gave_is_made_of_the_primary() -> None:
    boot, tail = gpt_parts(bytes(range(256)) * 64)
    for sectors in (100, 200):
        new_boot, new_tail, _ = gpt.place(boot, bytes(len(tail)), 512, (51200, sectors * 512), {})
        check_gpt(new_boot, new_tail, sectors - 1)
    with pytest.raises(FormatError):
        gpt.place(
            b"x" + boot[:1024] + b"x" + boot[1026:], bytes(len(tail)), 512, (51200, 51200), {}
        )


def test_programs(mock_command: Callable[..., Any]) -> None:
    mock_command("tool", "answer\n", 3, "first\nsecond\rthird\nlast\n")
    with pytest.raises(ToolError, match="ended with code 3: second; third; last"):
        run(["tool", "--flag"])
    assert run(["tool"], ok=(3,)).stdout == "answer\n"
    with pytest.raises(ToolError, match="SIGKILL"):
        run(["sh", "-c", "kill -9 $$"])
    with pytest.raises(ToolError, match="missing") as error:
        run(["partclone.nothing"])
    assert "partclone" in error.value.remedy


def test_long_output_is_read_line_by_line() -> None:
    with lines(["seq", "5"]) as text:
        assert [line.strip() for line in text] == list("12345")
    with pytest.raises(ToolError), lines(["sh", "-c", "echo x; exit 4"]) as text:
        list(text)


def test_last_words_of_both_streams() -> None:
    talks = ["sh", "-c", "echo on stdout; echo on stderr >&2; exit 4"]
    words = "ended with code 4: on stderr; on stdout"
    with pytest.raises(ToolError, match=words):
        run(talks)
    with pytest.raises(ToolError, match=words), lines(talks) as text:
        list(text)
    # What came before can't be read: the program's own words explain it better.
    with pytest.raises(ToolError, match=words), lines(talks) as text:
        int(next(text))
    with pytest.raises(ToolError, match="SIGSEGV"), lines(["sh", "-c", "kill -11 $$"]) as text:
        list(text)


def test_programs_that_do_not_end() -> None:
    sleeps, words = ["sleep", "60"], "did not end within 0 seconds"
    with pytest.raises(ToolError, match=words), at_most(0.2):
        run(sleeps)
    with pytest.raises(ToolError, match=words), at_most(0.2), lines(sleeps) as text:
        next(text)
    with pytest.raises(ToolError, match=words), at_most(0.2):
        head(sleeps, 4)


def test_endless_output_is_cut() -> None:
    assert head(["yes"], 4) == "y\ny\n"
    assert head(["true"], 4) == ""


def test_programs_speak_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "x")
    shown = run(["env"]).stdout
    assert "LC_ALL=C" in shown
    assert "SECRET" not in shown
