# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays is left out of the interpreter's searches, and what only keeps itself is found."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_server.base import garbage
from slipway_server.service import Service as Parts

from .conftest import in_parts


class _Knot:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """What this process has is its own again afterwards."""
    yield
    gc.unfreeze()


def _looked_at() -> int:
    return len(gc.get_objects(generation=2))


def test_what_is_there_is_left_out() -> None:
    gc.collect()
    assert _looked_at() > 0
    garbage.leave_out()
    assert _looked_at() == 0


def test_what_only_keeps_itself_is_found_by_the_next_search_of_everything() -> None:
    knot = _Knot()
    gone = weakref.ref(knot)
    garbage.leave_out()
    del knot
    gc.collect()
    assert gone() is not None
    asyncio.run(garbage.search_all())
    assert gone() is None
    assert _looked_at() < 1000


def _lost() -> weakref.ref[_Knot]:
    return weakref.ref(_Knot())


def test_the_service_leaves_out_what_it_has_and_searches_all_of_it_in_its_rounds(
    tmp_path: Path,
) -> None:
    async def work(parts: Parts) -> None:
        assert gc.get_freeze_count() > 10_000
        gone = _lost()
        garbage.leave_out()
        await parts.rounds.go()
        assert gone() is not None, "not each time"
        await parts.rounds.go(all_due=True)
        assert gone() is None

    in_parts(tmp_path, work)


def test_what_the_first_look_has_read_is_left_out(tmp_path: Path) -> None:
    found = list[bool]()

    async def work(parts: Parts) -> None:
        found.append(gone() is None)

    folder = tmp_path / "store/images/pc1"
    folder.mkdir(parents=True)
    (folder / "20260101T000000Z.json").write_text("{}")
    gone = _lost()
    garbage.leave_out()
    in_parts(tmp_path, work)
    assert found == [True]
