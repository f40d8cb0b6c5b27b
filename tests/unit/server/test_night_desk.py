# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's word about a schedule that comes while the service looks what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway_server.choices.night_desk import NightDesk
from slipway_server.jobs.schedule_files import plan_file

from .test_simulated_year import BERLIN, World


def test_a_window_asked_for_in_the_middle_of_a_look_stays_open(tmp_path: Path) -> None:
    world = World(tmp_path, datetime(2026, 3, 2, 12, tzinfo=BERLIN))
    nobody: Any = None
    asyncio.run(world.nights.look())

    async def both() -> dict[str, Any]:
        looking, go_on = asyncio.Event(), asyncio.Event()

        async def slow(work: Callable[..., Any], *arguments: Any) -> Any:
            looking.set()
            await go_on.wait()
            return work(*arguments)

        world.nights._run = slow
        desk = NightDesk(plan_file(tmp_path), world.nights, nobody, nobody, world._run, world.wall)
        look = asyncio.create_task(world.nights.look())
        await looking.wait()
        world.now += 1
        start = asyncio.create_task(desk.start("nightly", "alice"))
        pause = asyncio.create_task(desk.pause("nightly", "2099-01-01"))
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(look, start, pause)
        return await desk.one("nightly")

    view = asyncio.run(both())
    assert view["open"] and view["windows"][-1]["by"] == "alice"
    assert view["paused_until"] == "2098-12-31T23:00:00Z"
    world.stop()
