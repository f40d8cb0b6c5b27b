# SPDX-License-Identifier: GPL-3.0-or-later
"""Many machines, and many browsers that look at them."""

from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack

import pytest
from playwright.sync_api import Response

from ..unit.server.choosing import item, write_menu
from ..unit.server.heavy import memory_peak
from .house import House
from .school import mac_of

_FIRST_VISIT = 150_000
_MEMORY = 150 << 20


@pytest.mark.parametrize(
    ("machines", "browsers"), [(500, 4), pytest.param(2000, 20, marks=pytest.mark.slow)]
)
def test_many_machines_and_browsers(house: House, machines: int, browsers: int) -> None:
    service = house.school.service
    for number in range(16, machines):
        name = f"hall-pc{number:04}"
        write_menu(service, name, [mac_of(number)], [item("backup", "backup", image=name)])
    with ExitStack() as ends:
        first = ends.enter_context(house.visit("otto"))
        came: list[Response] = []
        first.page.on("response", lambda each: came.append(each))
        first.go("/machines")
        first.page.get_by_text(f"{machines} of {machines}").wait_for()
        sizes = {
            each.url: each.request.sizes()["responseBodySize"]
            for each in came
            if not each.url.endswith("/live")
        }
        assert sum(sizes.values()) < _FIRST_VISIT, sizes
        assert first.page.get_by_role("row").count() == 101
        assert first.axe() == []
        others = [ends.enter_context(house.visit("otto")) for _ in range(browsers - 1)]
        for each in others:
            each.go("/")
        took = []
        for _ in range(20):
            begun = time.monotonic()
            first.go("/machines?q=hall&sort=-saved&page=3")
            took.append(time.monotonic() - begun)
        for each in [first, *others]:
            assert each.seen == []
    assert house.page.process is not None
    most = memory_peak(house.page.process.pid)
    # As the browser has it, with its own work; of the server alone: python -m tests.bench.page.
    print(
        f"{sum(sizes.values()) / 1000:.0f} kB at the first visit; "
        f"median {statistics.median(took) * 1000:.0f} ms, the slowest {max(took) * 1000:.0f} ms, "
        f"load {os.getloadavg()[0]:.1f}; {most >> 20} MB"
    )
    assert most < _MEMORY
