# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM's text, and which volumes may be looked into."""

import pytest
from slipway.engine.content.lvm import physical_volume
from slipway.engine.content.lvm_text import parse
from slipway.engine.errors import ToolError

GROUP = """
pc {
id = "a"  # a comment with "quotes" and }
seqno = 7
extent_size = 2048
physical_volumes {
  pv0 { id = "AAAA-BB" device = "/dev/sda2 \\"x\\" {" pe_start = 2048 pe_count = 50 }
  pv1 { id = "CCCC-DD" pe_start = 2048 pe_count = 50 }
}
logical_volumes {
%s
}
}
contents = "Text Format Volume Group"
"""
MIB = 1 << 20


def volume(name: str, *segments: str, status: str = '"READ", "VISIBLE"') -> str:
    text = "".join(f"segment{n} {{ {each} }}\n" for n, each in enumerate(segments, 1))
    return f"{name} {{ status = [{status}] segment_count = {len(segments)}\n{text}}}\n"


def linear(start: int, count: int, at: int, where: str = "pv0") -> str:
    return (
        f'start_extent = {start} extent_count = {count} type = "striped" stripe_count = 1 '
        f'stripes = [ "{where}", {at} ]'
    )


def whys(*volumes: str) -> dict[str, str]:
    found = physical_volume(parse(GROUP % "".join(volumes)), "AAAABB", 60 * MIB)
    assert not isinstance(found, str)
    return {each.name: each.whole for each in found.volumes}


def test_pieces_in_their_order() -> None:
    text = GROUP % volume("root", linear(10, 5, 40), linear(0, 10, 3))
    found = physical_volume(parse(text), "AAAABB", 60 * MIB)
    assert not isinstance(found, str)
    assert (found.start, found.end) == (MIB, 51 * MIB)
    [root] = found.volumes
    areas = [(area.start, area.size, area.logical) for area in root.areas]
    assert areas == [(4 * MIB, 10 * MIB, 0), (41 * MIB, 5 * MIB, 10 * MIB)]
    assert root.whole == ""


def test_a_volume_elsewhere_is_not_ours() -> None:
    assert whys(volume("root", linear(0, 5, 0, "pv1"))) == {}


def test_partly_elsewhere() -> None:
    found = whys(volume("root", linear(0, 5, 0), linear(5, 5, 0, "pv1")))
    assert found == {"root": "partly on another disk"}


def test_origin_cow_and_external_origin() -> None:
    snapshot = (
        'start_extent = 0 extent_count = 5 type = "snapshot" origin = "root" cow_store = "cow"'
    )
    thin = (
        'start_extent = 0 extent_count = 5 type = "thin" thin_pool = "p" external_origin = "base"'
    )
    found = whys(
        volume("root", linear(0, 5, 0)),
        volume("cow", linear(0, 5, 5)),
        volume("base", linear(0, 5, 10)),
        volume("plain", linear(0, 5, 15)),
        volume("snapshot0", snapshot),
        volume("t", thin),
    )
    assert set(found) == {"root", "cow", "base", "plain"}
    assert found["plain"] == ""
    assert all("made of it" in found[name] for name in ("root", "cow", "base"))


def test_volume_that_is_being_moved() -> None:
    moved = (
        'start_extent = 0 extent_count = 5 type = "mirror" mirror_count = 2 '
        'mirrors = ["pv0", 0, "pv0", 9]'
    )
    found = whys(volume("root", linear(0, 5, 0, "pvmove0")), volume("pvmove0", moved))
    # The bytes are those of pvmove0: both places of it are here.
    assert list(found) == ["pvmove0"]
    assert "made of it" in found["pvmove0"]


def test_stripes_and_hidden_parts() -> None:
    striped = (
        'start_extent = 0 extent_count = 4 type = "striped" stripe_count = 2 '
        'stripes = ["pv0", 0, "pv1", 0]'
    )
    found = whys(volume("data", striped), volume("spare", linear(0, 2, 9), status='"READ"'))
    assert "striped over several" in found["data"]
    assert "hidden" in found["spare"]


def test_sizes_that_can_not_be() -> None:
    for bad in (linear(0, 60, 0), linear(0, 5, 49)):
        found = physical_volume(parse(GROUP % volume("root", bad)), "AAAABB", 60 * MIB)
        assert isinstance(found, str)
    assert isinstance(physical_volume(parse(GROUP % ""), "AAAABB", 40 * MIB), str)
    assert isinstance(physical_volume(parse(GROUP % ""), "EEEE", 60 * MIB), str)


@pytest.mark.parametrize("text", ["a {", "a = [1", "a b", 'a = "x', "a {{ }"])
def test_text_that_ends_or_makes_no_sense(text: str) -> None:
    with pytest.raises(ToolError):
        parse(text)
