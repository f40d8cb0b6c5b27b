# SPDX-License-Identifier: GPL-3.0-or-later
"""Used maps: partclone's text, and the trees of btrfs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.engine.content.btrfs import Chunk, parse_chunks, parse_extents, placed
from slipway.engine.content.partclone import parse_map
from slipway.engine.errors import ToolError
from slipway.format import Extents

HEAD = [
    "# Domain logfile created by unset_name v0.3.23",
    "# Source: /dev/loop0",
    "# Offset: 0x00000000",
    "# current_pos  current_status",
    "0x00002000     ?",
    "#      pos        size  status",
]
LINES = [*HEAD, "0x00000000  0x00001000  +", "0x00001000  0x00001000  ?"]


def test_behind_the_map_everything_is_used() -> None:
    assert list(parse_map(LINES, 0x3000)) == [(0, 0x1000), (0x2000, 0x3000)]
    assert list(parse_map(LINES, 0x2000)) == [(0, 0x1000)]


@given(st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=1))
def test_maps_come_back(runs: list[tuple[int, bool]]) -> None:
    text, expected, position = list(HEAD), [], 0
    for length, used in runs:
        text.append(f"0x{position:08X}  0x{length:08X}  {'+' if used else '?'}")
        expected += [(position, position + length)] if used else []
        position += length
    assert parse_map(text, position) == Extents.of(expected)


@pytest.mark.parametrize(
    "text",
    [
        [],
        HEAD,
        [*LINES[:-1], "0x00001001  0x00001000  ?"],
        [*LINES[:-1], "0x00000000  0x00001000  ?"],
        [*LINES, "0x00002000  0x00000000  +"],
        [*LINES, "0x00002000  0x00001000  *"],
        [*LINES, "0x00002000  0x00001000"],
        [*LINES, "Error: Min volume size supported is 104857600"],
        [*LINES, "0x00002000  -0x1000  +"],
    ],
)
def test_refused_maps(text: list[str]) -> None:
    with pytest.raises(ToolError):
        parse_map(text, 0x10000)


def test_file_system_larger_than_its_partition() -> None:
    with pytest.raises(ToolError, match="its partition has"):
        parse_map(LINES, 0x1800)


EXTENTS = """\
extent tree key (EXTENT_TREE ROOT_ITEM 0)
node 30441472 level 1 items 2 free space 491 generation 9 owner EXTENT_TREE
\tkey (1000 EXTENT_ITEM 4096) block 30457856 gen 9
leaf 30408704 items 12 free space 15614 generation 6 owner EXTENT_TREE
\titem 0 key (1000 EXTENT_ITEM 50) itemoff 16259 itemsize 24
\t\trefs 1 gen 6 flags DATA
\t\t(178 0x7b) extent data backref root FS_TREE objectid 257 offset 0 count 1
\titem 1 key (1000 BLOCK_GROUP_ITEM 8388608) itemoff 16235 itemsize 24
\titem 2 key (1050 EXTENT_ITEM 10) itemoff 16202 itemsize 33
\titem 3 key (2000 METADATA_ITEM 1) itemoff 16202 itemsize 33
\t\ttree block skinny level 1
"""
CHUNKS = """\
\titem 0 key (DEV_ITEMS DEV_ITEM 1) itemoff 16185 itemsize 98
\titem 1 key (FIRST_CHUNK_TREE CHUNK_ITEM 1000) itemoff 16105 itemsize 80
\t\tlength 100 owner 2 stripe_len 65536 type DATA|single
\t\t\tstripe 0 devid 1 offset 9000000
\titem 2 key (FIRST_CHUNK_TREE CHUNK_ITEM 2000) itemoff 15993 itemsize 112
\t\tlength 50 owner 2 stripe_len 65536 type METADATA|DUP
\t\t\tstripe 0 devid 1 offset 8000000
\t\t\tstripe 1 devid 1 offset 7000000
"""


def test_trees_of_btrfs() -> None:
    extents = list(parse_extents(EXTENTS.splitlines(), 16))
    assert extents == [(1000, 1050), (1050, 1060), (2000, 2016)]
    chunks = list(parse_chunks(CHUNKS.splitlines()))
    assert chunks == [Chunk(1000, 100, (9000000,)), Chunk(2000, 50, (8000000, 7000000))]
    used = placed(Extents.of(extents), chunks, 10_000_000, 10_000_100)
    assert list(used) == [
        (0, 1 << 20),
        (7000000, 7000016),
        (8000000, 8000016),
        (9000000, 9000060),
        (10_000_000, 10_000_100),
    ]


def test_super_blocks_of_btrfs() -> None:
    used = placed(Extents.of(()), [], 300 << 30, 300 << 30)
    assert list(used)[1:] == [(64 << 20, (64 << 20) + 4096), (256 << 30, (256 << 30) + 4096)]
