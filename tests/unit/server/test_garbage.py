# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays is left out of the interpreter's searches, and what only keeps itself is found."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
from slipway_server.base import garbage


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
