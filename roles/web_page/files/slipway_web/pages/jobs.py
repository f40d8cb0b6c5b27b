# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: all of the last days, and one as it goes."""

from __future__ import annotations

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


async def state_of(ask: Ask, identifier: str) -> dict[str, Any]:
    """A job, its session, and what its machine does now."""
    job = await ask.get(path("jobs", identifier))
    session = None
    if job["session"]:
        try:
            session = await ask.get(path("sessions", job["session"]))
        except Refused:
            # A session is forgotten before its job is.
            session = None
    return {"job": job, "session": session, "progress": progress_of(session)}


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
