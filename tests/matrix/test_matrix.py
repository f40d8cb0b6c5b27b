# SPDX-License-Identifier: GPL-3.0-or-later
"""Each card and each controller, in a PC of its own: `make matrix`."""

from concurrent.futures import Future

from .results import Row


def test_it_comes_back_byte_for_byte(pc: str, trips: dict[str, Future[Row]]) -> None:
    row = trips[pc].result()
    assert row.card_drivers and row.disk_drivers
