# SPDX-License-Identifier: GPL-3.0-or-later
"""The used maps of FAT: entries of 12, 16 and 32 bits, and boot sectors that can't be meant."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.engine.content.fat_tables import entry, marks, parse_fat

FLOPPY = {
    "sector": 512,
    "per_cluster": 1,
    "reserved": 1,
    "tables": 2,
    "root": 224,
    "total": 2880,
    "table": 9,
}
DATA = (1 + 2 * 9 + 14) * 512
CLUSTERS = 2880 - 1 - 18 - 14


def boot(**changed: int) -> bytes:
    """A boot sector of a floppy disk, but for what is changed."""
    field = FLOPPY | changed
    small = field["total"] if field["total"] < 65536 else 0
    head = struct.pack(
        "<HBHBHHBH",
        field["sector"],
        field["per_cluster"],
        field["reserved"],
        field["tables"],
        field["root"],
        small,
        0xF0,
        field["table"],
    )
    sector = bytearray(512)
    sector[11 : 11 + len(head)] = head
    struct.pack_into("<I", sector, 32, 0 if small else field["total"])
    return bytes(sector)


def packed(entries: list[int], size: int) -> bytes:
    """A table, made by way of hexadecimal digits: of three bytes AB CD EF, entries DAB and EFC."""
    pairs = zip(entries[::2], [*entries, 0][1::2], strict=False)
    digits = [f"{low:03x}{high:03x}" for low, high in pairs]
    text = "".join(d[1:3] + d[5] + d[0] + d[3:5] for d in digits)
    return bytes.fromhex(text).ljust(size, b"\0")


@given(st.lists(st.integers(0, 0xFFF), min_size=1, max_size=500))
def test_entries_come_back(entries: list[int]) -> None:
    table = packed(entries, 1024)
    assert [entry(table, number) for number in range(len(entries))] == entries


@given(
    st.dictionaries(st.integers(0, CLUSTERS - 1), st.sampled_from([0xFF7, 5, 0xFFF])),
    st.sets(st.integers(0, CLUSTERS - 1), max_size=5),
)
def test_only_what_all_tables_call_free_is_free(some: dict[int, int], more: set[int]) -> None:
    first = [some.get(number, 0) for number in range(CLUSTERS)]
    second = [7 if number in more else value for number, value in enumerate(first)]
    volume = bytearray(2880 * 512)
    for place, values in ((512, first), (512 + 9 * 512, second)):
        table = packed([0xFF0, 0xFFF, *values], 9 * 512)
        volume[place : place + len(table)] = table
    geometry = parse_fat(boot())
    assert geometry is not None
    # One sector lies behind what the file system knows of.
    used = geometry.used(lambda at, size: bytes(volume[at : at + size]), len(volume) + 512)
    expected = {
        number for number, value in enumerate(first) if value not in (0, 0xFF7) or number in more
    }
    found = {n for n in range(CLUSTERS) if used.touches(DATA + n * 512, DATA + (n + 1) * 512)}
    assert found == expected
    assert used.within(0, DATA) == [(0, DATA)]
    assert used.end == len(volume) + 512


def test_clusters_that_the_table_is_too_short_for_are_used() -> None:
    geometry = parse_fat(boot(table=1, total=1000))
    assert geometry is not None
    used = geometry.used(lambda at, size: bytes(size), 1000 * 512)
    # 341 entries in 512 bytes, two of them for no cluster.
    assert list(used)[-1] == ((1 + 2 + 14 + 339) * 512, 1000 * 512)


def bits(**changed: int) -> int:
    geometry = parse_fat(boot(**changed))
    return geometry.bits if geometry is not None else 0


def test_the_largest_and_the_next() -> None:
    system = 1 + 2 * 12 + 14
    assert bits(table=12, total=system + 4084) == 12
    assert bits(table=12, total=system + 4085) == 16
    assert bits(table=12, total=system + 4084 * 64 + 63, per_cluster=64) == 12
    system = 1 + 2 * 256 + 14
    assert bits(table=256, total=system + 65524) == 16
    assert bits(table=256, total=system + 65525) == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"tables": 17},
        {"sector": 0},
        {"sector": 513},
        {"per_cluster": 0},
        {"reserved": 0},
        {"tables": 0},
        {"root": 0},
        {"table": 0},
        {"total": 0},
        {"total": 33},
    ],
    ids=str,
)
def test_boot_sectors_that_describe_no_fat(changed: dict[str, int]) -> None:
    assert parse_fat(boot(**changed)) is None


ENTRIES_16 = st.one_of(st.sampled_from([0, 0xFFF7, 0xFFF8, 0x00FF, 0xF700]), st.integers(0, 0xFFFF))
ENTRIES_32 = st.one_of(
    st.sampled_from([0, 0xFFFFFF7, 0xA0000000, 0x7FFFFFF7, 0xFFFFFF8, 0x00FFFFFF, 0xF7FFFFFF]),
    st.integers(0, 0xFFFFFFFF),
)


@given(st.lists(ENTRIES_16, max_size=200))
def test_entries_of_16_bits(entries: list[int]) -> None:
    found = marks(struct.pack(f"<{len(entries)}H", *entries), 16)
    assert [bool(mark) for mark in found] == [value not in (0, 0xFFF7) for value in entries]


@given(st.lists(ENTRIES_32, max_size=200))
def test_entries_of_28_bits(entries: list[int]) -> None:
    """Their upper four bits belong to nobody."""
    found = marks(struct.pack(f"<{len(entries)}I", *entries), 32)
    in_use = [value & 0xFFFFFFF not in (0, 0xFFFFFF7) for value in entries]
    assert [bool(mark) for mark in found] == in_use


@given(st.binary(max_size=600))
def test_any_bytes(text: bytes) -> None:
    geometry = parse_fat(text)
    if geometry is not None and geometry.clusters < 1 << 20:
        assert geometry.used(lambda at, size: bytes(size), geometry.size).total >= geometry.data
