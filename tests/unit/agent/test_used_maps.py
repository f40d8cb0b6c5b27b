"""Used maps: partclone's text, and the second copies of btrfs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.engine.content.btrfs import mirrored
from slipway.engine.content.partclone import parse_map
from slipway.engine.errors import SourceRefused, ToolError
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
    with pytest.raises(SourceRefused):
        parse_map(LINES, 0x1800)


def test_both_copies_of_dup() -> None:
    used = Extents.of([(100, 110), (150, 160), (500, 510), (990, 1000)])
    both = mirrored(used, [(100, [100, 300]), (50, [500, 600])])
    assert list(both) == [
        (100, 110), (150, 160), (300, 310), (350, 360), (500, 510), (600, 610), (990, 1000),
    ]  # fmt: skip
    assert mirrored(both, [(100, [300, 100]), (50, [600, 500])]) == both
