# SPDX-License-Identifier: GPL-3.0-or-later
"""How things were: the store's room day by day, how long backups took; and what could be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from slipway_server.base.rows import Rows
from slipway_server.base.state_file import StateFile
from slipway_server.images.history import BACKUPS, DAYS, History
from slipway_server.images.store import Room

from .conftest import Service, cell


def seen(service: Service, path: str) -> Any:
    answer = service.admin.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_kept_of_the_room_and_of_backups(tmp_path: Path) -> None:
    state, first = StateFile(tmp_path), date(2026, 1, 1)

    async def fill() -> None:
        history = History(Rows(state, "history"))
        for number in range(DAYS + 30):
            day = first + timedelta(days=number)
            await history.note_room(day, Room(50, 100))
            await history.note_room(day, Room(100 - number % 100, 100))
        for number in range(BACKUPS + 10):
            await history.note_backup("pc1", "pc1", f"20260101T0000{number:02}Z", number)
        await history.note_backup("pc10", "other", "20260101T000000Z", -5.0)

    asyncio.run(fill())
    for history in (History(Rows(state, "history")), History(Rows(state, "history"))):
        days = history.room()
        assert len(days) == DAYS
        assert days[0]["day"] == str(first + timedelta(days=30))
        assert days[-1] == {"day": str(first + timedelta(days=DAYS + 29)), "used": 19, "total": 100}
        backups = history.backups("pc1")
        assert [each["seconds"] for each in backups] == list(range(10, BACKUPS + 10))
        assert history.backups("pc10") == [
            {"image": "other", "version": "20260101T000000Z", "seconds": 0.0}
        ]
    state.close()


@pytest.mark.plays
def test_a_backup_is_noted_once_and_outlasts_the_service(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    machine = service.machine()
    machine.put(cell("timed"))
    made = machine.publish(cell("timed"))
    assert machine.publish(cell("timed")).status_code == 200, "a retry after a lost answer"
    service.restart()
    [noted] = seen(service, f"/v1/backups/{machine.name}")["backups"]
    assert (noted["image"], noted["version"]) == (machine.name, made.json()["version"])
    assert 0 <= noted["seconds"] < 600
    assert seen(service, "/v1/backups/nobody") == {"backups": []}
    days = seen(service, "/v1/room")["days"]
    assert days and all(0 < each["used"] <= each["total"] for each in days)


def test_other_numbers_remove_other_versions_and_change_nothing(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    name, _ = service.image(cell("one"))
    for text in ("two", "three"):
        machine = service.machine(image=name)
        machine.put(cell(text))
        assert machine.publish(cell(text), name=name).status_code == 201
        service.admin.delete(f"/v1/sessions/{machine.session}")
    assert seen(service, "/v1/prune")["remove"] == [], "without rules all is kept"
    for keep, gone in (("last=2", 1), ("last=1&yearly=1", 2), ("last=3", 0)):
        plan = seen(service, f"/v1/prune/with?{keep}")
        assert (len(plan["remove"]), plan["kept"]) == (gone, 3 - gone), keep
    assert seen(service, "/v1/prune")["remove"] == []
    for wrong in ("", "last=0", "last=-1", "last=x", "daily=10000"):
        assert service.admin.get(f"/v1/prune/with?{wrong}").status_code == 422, wrong
