# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: all of the last days, and one as it goes."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Response

from .. import words
from ..asking import Ask
from ..lists import Column, listed
from ..service import Refused, path

_COLUMNS = (
    Column("created", "Wished", lambda row: row["created"]),
    Column("machine", "Machine", lambda row: row["machine"]),
    Column("verb", "Verb", lambda row: row["verb"]),
    Column("state", "State", lambda row: row["outcome"] or row["state"]),
    Column("by", "By", lambda row: row["by"]),
)


async def show_all(ask: Ask) -> Response:
    """All jobs, the newest first."""
    found = await ask.get(path("jobs"))
    rows = list(reversed(found["jobs"]))
    return ask.show(
        "jobs.html", list=listed(rows, _COLUMNS, ask.fields, _text), runner=found["runner"]
    )


def _text(row: dict[str, Any]) -> str:
    said = (row["machine"], row["verb"], row["image"], row["by"], row["origin"], row["message"])
    return " ".join(str(each or "") for each in (*said, row["state"], row["outcome"]))


async def show(ask: Ask) -> Response:
    """One job, with what its machine does now."""
    return ask.show("job.html", **await state_of(ask, ask.at("job")))


async def running_now(ask: Ask) -> list[dict[str, Any]]:
    """All jobs that have not ended, each with what its machine does now."""
    found = [
        job
        for state in ("running", "queued")
        for job in (await ask.get(path("jobs"), state=state))["jobs"]
    ]
    return [job | {"progress": progress_of(await _session(ask, job))} for job in found]


async def _session(ask: Ask, job: dict[str, Any]) -> dict[str, Any] | None:
    """The session of a job; it is forgotten before its job is."""
    try:
        return dict(await ask.get(path("sessions", job["session"]))) if job["session"] else None
    except Refused:
        return None


async def state_of(ask: Ask, identifier: str) -> dict[str, Any]:
    """A job, its session, and what its machine does now."""
    job = await ask.get(path("jobs", identifier))
    session = await _session(ask, job)
    return {
        "job": job,
        "progress": progress_of(session),
        "steps": steps_of(job, session),
        "took": took(job),
        "output": await ask.get(path("jobs", identifier, "output")),
    }


def steps_of(job: dict[str, Any], session: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The way of a job: each step `done`, `now`, or nothing yet."""
    there = session is not None and session["state"] != "requested"
    names = ["Ordered", "In the queue", "PC woken", "At work", "Ended"]
    reached = 1
    if job["started_at"]:
        reached = 3 if there else 2
    if job["state"] == "ended":
        # What was never reached is left out.
        return [(name, "done") for name in [*names[: reached + 1], names[-1]]]
    looks = ["done"] * reached + ["now"] + [""] * len(names)
    return list(zip(names, looks, strict=False))


def took(job: dict[str, Any]) -> str:
    """How long it ran, or has run until now."""
    begun = words.seconds_of(job["started_at"] or "")
    if begun is None:
        return ""
    ended = words.seconds_of(job["ended_at"] or "")
    return words.span(max(0.0, (time.time() if ended is None else ended) - begun))


def progress_of(session: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a machine says that it does; it may say anything."""
    said = session["progress"] if session else None
    if not isinstance(said, dict):
        return None
    done, total = words.number(said.get("done")), words.number(said.get("total"))
    names = [said.get("disk"), said.get("partition")]
    return {
        "phase": str(said.get("phase", "work"))[:20],
        "place": ":".join(str(each)[:40] for each in names if each),
        "done": done,
        "total": total,
        "percent": int(100 * min(done, total) / total) if total else None,
        "rate": words.number(said.get("rate")),
        "left": words.number(said.get("eta")) if done < total else 0.0,
        "waiting": str(said.get("waiting") or "")[:300],
    }
