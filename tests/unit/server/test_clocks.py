# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's clock that is wrong, and is set: what is newest, what is old, what comes first."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slipway.format.codec import parse, serialize
from slipway_server.base.records import Records
from slipway_server.base.state_file import StateFile
from slipway_server.images.memory import Memory, Read
from slipway_server.images.store import Fingerprint
from slipway_server.jobs.job import Job
from slipway_server.jobs.jobs import Jobs
from slipway_server.jobs.next_boots import NextBoot, NextBoots
from slipway_server.service import Service as Parts
from slipway_server.sessions.session import CheckIn, Proof

from .conftest import HOST_KEY, Service, cell, in_parts, manifest_of
from .test_jobs import LIMITS, job

YEARS = 3 * 365 * 86400.0
AHEAD = f"{datetime.now(UTC).year + 3}0101T000000Z"


def from_the_future(service: Service, name: str, version: str, content: bytes) -> None:
    """A version as a service whose clock was ahead has published it."""
    folder = service.store / "images" / name
    folder.mkdir(exist_ok=True)
    made = parse(manifest_of(name, content)).stamped(version, "2026-01-01T00:00:00Z", 1)
    (folder / f"{version}.json").write_bytes(serialize(made))


@pytest.mark.parametrize(
    ("there", "next_one"),
    [
        (AHEAD, f"{AHEAD[:-3]}01Z"),
        (f"{AHEAD}-7", f"{AHEAD[:-3]}01Z"),
        (f"{AHEAD[:4]}1231T235959Z", f"{int(AHEAD[:4]) + 1}0101T000000Z"),
        ("99999999T999999Z", "99999999T999999Z-1"),
    ],
)
def test_the_next_version_is_the_newest_and_says_why(
    service: Service, there: str, next_one: str
) -> None:
    old, new = cell(f"made ahead {there}"), cell(f"made now {there}")
    pc = service.machine()
    pc.put(old)
    pc.put(new)
    from_the_future(service, pc.name, there, old)
    answer = pc.publish(new)
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"] == next_one
    assert "a clock was ahead" in answer.json()["warning"]
    assert pc.publish(new).json() == answer.json()
    listed = service.admin.get(f"/v1/images/{pc.name}").json()["versions"]
    assert [(each["version"], each["ahead"]) for each in listed] == [
        (next_one, True),
        (there, True),
    ]
    # When it was made is no secret: that is what the clock said.
    assert listed[0]["created"][:4] == f"{datetime.now(UTC).year}"
    service.admin.delete(f"/v1/sessions/{pc.session}")
    restore = service.machine("restore", image=pc.name)
    assert restore.seen()["version"] == next_one


def test_a_version_of_now_is_nothing_strange(service: Service) -> None:
    content = cell("made now")
    pc = service.machine()
    pc.put(content)
    answer = pc.publish(content)
    assert answer.json()["warning"] is None
    [listed] = service.admin.get(f"/v1/images/{pc.name}").json()["versions"]
    assert listed["ahead"] is False


@pytest.mark.parametrize(("at", "trusted"), [(-YEARS, False), (-60.0, True), (YEARS, False)])
def test_a_read_of_a_time_to_come_is_not_believed(tmp_path: Path, at: float, trusted: bool) -> None:
    memory, now = Memory(tmp_path / "memory.sqlite3"), time.time()
    seen = Fingerprint(10, 1, 1)
    memory.remember([Read("ab" * 32, seen, now + at, 5)])
    assert memory.recall("ab" * 32, seen, now - 7 * 86400, now) == (5 if trusted else None)
    memory.close()


@pytest.mark.parametrize("jump", [-YEARS, YEARS])
def test_a_permission_lasts_a_quarter_of_an_hour_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    state = StateFile(tmp_path)
    db = Records(state, NextBoot, "next_boots")
    moment = 1000.0

    async def work() -> None:
        nonlocal moment
        orders = NextBoots(db, clock=lambda: moment)
        order = await orders.set("pc1", ("52:54:00:00:00:01",), "restore", None, False)
        await orders.take(order, "192.0.2.1")
        who = (order.id, "pc1", "restore", "192.0.2.1", False)
        now = time.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now + jump)
            moment += 890
            assert orders.permission(*who) is not None
            moment += 20
            assert orders.permission(*who) is None
        assert NextBoots(db, clock=lambda: 0.0).permission(*who) is not None

    try:
        asyncio.run(work())
    finally:
        state.close()


def test_who_comes_later_is_served_later_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    db = Records(state, Job, "jobs")

    async def work() -> None:
        jobs = Jobs(db, LIMITS)
        for number, created in enumerate((2e9, 1e9, 3e9)):
            await jobs.create(job(f"pc{number}", created))
        for each in (jobs, Jobs(db, LIMITS)):
            assert [item.machine for item in each.open_jobs()] == ["pc0", "pc1", "pc2"]
        given, _, _ = await jobs.poll("run-1", [], 1, 0)
        assert [item.machine for item in given] == ["pc0"]

    try:
        asyncio.run(work())
    finally:
        state.close()


async def ended_session(parts: Parts) -> str:
    made = await parts.openings.open_session(
        "pc1", ("52:54:00:00:00:01",), "service", None, None, 60
    )
    await parts.sessions.end(made.id, "done")
    return made.id


def test_a_clock_that_is_set_ahead_makes_nothing_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(parts: Parts) -> None:
        session = await ended_session(parts)
        now = time.time()
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(time, "time", lambda: now + YEARS)
            await parts.rounds.go(all_due=True)
            await parts.rounds.go(all_due=True)
        assert parts.sessions.get(session).outcome == "done"
        [said] = [each.message for each in caplog.records if "clock" in each.message]
        assert f"{YEARS:+.0f}"[:6] in said

    in_parts(tmp_path, work)


def test_what_ended_while_the_clock_was_ahead_is_not_kept_for_years(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()

    async def ahead(parts: Parts) -> None:
        await ended_session(parts)

    async def right_again(parts: Parts) -> None:
        [session] = parts.sessions.all()
        assert session.ended_at is not None
        assert now <= session.ended_at <= time.time()

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + YEARS)
        in_parts(tmp_path, ahead)
    in_parts(tmp_path, right_again)


def test_the_last_session_is_the_one_that_came_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that stayed on takes its next one, though its first is of a time to come."""

    async def stay(parts: Parts, nonce: str) -> None:
        cards = ("52:54:00:00:00:01",)
        made = await parts.openings.open_session("pc1", cards, "service", None, None, 60)
        proof = Proof(True, "", accepts_unknown=False, card=None, stayed=False, identity="new")
        report = CheckIn(made.macs, HOST_KEY, "0.1.0", "192.0.2.1", proof, nonce=nonce)
        await parts.sessions.check_in(made.id, report)
        await parts.sessions.end(made.id, "done")

    async def work(parts: Parts) -> None:
        now = time.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now + YEARS)
            await stay(parts, "before")
        await stay(parts, "after")
        assert parts.sessions.last_of("pc1", "after", HOST_KEY) is not None
        assert parts.sessions.last_of("pc1", "before", HOST_KEY) is None

    in_parts(tmp_path, work)
