# SPDX-License-Identifier: GPL-3.0-or-later
"""A segment's content under change: right at each byte, and little of it in memory."""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slipway.engine.errors import ImageDamaged
from slipway.engine.memory_store import MemoryStore
from slipway.engine.overlay import Overlay
from slipway.engine.progress import Meter
from slipway.format import Manifest, Segment

MIB = 1 << 20
PAGE = 4096
SIZE, FILLED = 6 * MIB, 3 * MIB
CONTENT = random.Random(3).randbytes(8 * MIB)
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


def image(make: Maker) -> tuple[Manifest, Segment, MemoryStore]:
    """A partition of 6 MiB, of which the first three are used."""
    manifest, chunks = make(CONTENT, [(MIB, SIZE, [(0, FILLED)])])
    store = MemoryStore()
    store.chunks = chunks
    return manifest, next(s for s in manifest.disks[0].segments if s.kind == "partition"), store


def over(made: tuple[Manifest, Segment, MemoryStore], limit: int = SIZE) -> Overlay:
    manifest, segment, store = made
    overlay = Overlay(segment, store, manifest.cell_size, Meter())
    overlay.limit = limit
    return overlay


def expected() -> bytearray:
    return bytearray(CONTENT[MIB : MIB + FILLED].ljust(SIZE, b"\0"))


def test_changes_lie_over_the_content(image_maker: Maker) -> None:
    made, wanted = image(image_maker), expected()
    overlay = over(made, 4 * PAGE + 3 * 2048)
    for at, data in ((100, b"x" * 5000), (3 * MIB - 7, b"y" * 20)):
        overlay.write(at, data)
        wanted[at : at + len(data)] = data
    for at, size in ((0, 9000), (3 * MIB - 4096, 8192), (5 * MIB, MIB)):
        assert overlay.read(at, size) == wanted[at : at + size]
    assert (overlay.touched(0, 4096), overlay.touched(8192, MIB)) == (True, False)
    assert overlay.held == overlay.limit
    with pytest.raises(OSError, match="No space left"):
        overlay.write(2 * MIB, b"z")
    assert overlay.full
    assert overlay.read(2 * MIB, 10) == wanted[2 * MIB : 2 * MIB + 10]


def test_a_chunk_that_is_gone_is_the_cause(image_maker: Maker) -> None:
    made = image(image_maker)
    made[2].chunks = {}
    overlay = over(made)
    with pytest.raises(OSError):
        overlay.read(2 * MIB, 10)
    assert isinstance(overlay.problem, ImageDamaged)
    with pytest.raises(ImageDamaged):
        overlay.look(2 * MIB, 10)


def test_what_is_moved_is_not_held(image_maker: Maker) -> None:
    """As tools do it: read here, written there, and moved once more; then the place is cleared."""
    overlay, wanted = over(image(image_maker), 64 * 1024), expected()
    for source, target in ((MIB, 4 * MIB), (4 * MIB, 5 * MIB)):
        for at in range(0, MIB, 32 * PAGE):
            data = overlay.read(source + at, 32 * PAGE)
            overlay.write(target + at, data)
        wanted[target : target + MIB] = wanted[source : source + MIB]
    overlay.write(MIB, bytes(MIB))
    wanted[MIB : 2 * MIB] = bytes(MIB)
    assert overlay.read(0, SIZE) == wanted
    assert overlay.held < 64 * 1024 and not overlay.full
    # Written as it was, or nothing where nothing was: no change.
    same = overlay.read(2 * MIB, 8 * PAGE)
    overlay.write(2 * MIB, same)
    overlay.write(3 * MIB, bytes(MIB))
    assert not overlay.touched(2 * MIB, 4 * MIB) and overlay.touched(0, 2 * MIB)


def test_what_only_has_the_hash_of_a_page_is_not_that_page(image_maker: Maker) -> None:
    overlay, other = over(image(image_maker)), b"other" * 820
    overlay.read(0, PAGE)
    overlay._seen[hash(other[:PAGE])] = 0
    overlay.write(4 * MIB, other[:PAGE])
    assert overlay.read(4 * MIB, PAGE) == other[:PAGE]


_PLACES = st.integers(0, SIZE // PAGE - 1)
_STEPS = st.one_of(
    st.tuples(st.just("move"), _PLACES, _PLACES, st.integers(1, 40)),
    st.tuples(st.just("write"), st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=9000)),
    st.tuples(st.just("clear"), _PLACES, st.integers(1, 40)),
)


# The fixture makes images and keeps nothing.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(_STEPS, max_size=12))
def test_whatever_a_tool_does(image_maker: Maker, steps: list[tuple[object, ...]]) -> None:
    overlay, wanted = over(image(image_maker)), expected()
    for step in steps:
        match step:
            case ("move", int(source), int(target), int(pages)):
                size = min(pages * PAGE, SIZE - max(source, target) * PAGE)
                data = overlay.read(source * PAGE, size)
                at = target * PAGE
            case ("write", int(at), bytes(data)):
                data = data[: SIZE - at]
            case ("clear", int(page), int(pages)):
                at, data = page * PAGE, bytes(min(pages * PAGE, SIZE - page * PAGE))
        assert overlay.write(at, data) == len(data)
        wanted[at : at + len(data)] = data
    assert overlay.look(0, SIZE) == wanted
    original = expected()
    for page in range(0, SIZE, PAGE):
        if not overlay.touched(page, page + 1):
            assert wanted[page : page + PAGE] == original[page : page + PAGE]
