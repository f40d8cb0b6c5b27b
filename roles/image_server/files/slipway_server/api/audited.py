# SPDX-License-Identifier: GPL-3.0-or-later
"""Each action of a person becomes a line of the audit before its answer goes out."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..base.audit import Audit, Line
from .common import peer, refusal_of

log = logging.getLogger(__name__)

_NOTE = "audit_note"
# Through a door that is open to anybody, what anybody can make happen a thousand times is no line.
_FROM_ANYBODY = ("done", "wrong_password")


@dataclass
class Note:
    """What a handler knows of the action beside its route."""

    who: str = ""
    subject: str = ""
    # Where the socket alone doesn't tell them.
    role: str = ""
    where: str = ""
    before: str | None = None
    after: str | None = None

    def about(self, subject: str, before: str | None = None, after: str | None = None) -> None:
        """Say what it is about, and what was and is now."""
        self.subject, self.before, self.after = subject, before, after


async def _note(request: Request) -> Note:
    found: Note = request.scope["state"].setdefault(_NOTE, Note())
    return found


NoteDep = Annotated[Note, Depends(_note)]


class Audited:
    """Writes the lines of one socket's actions."""

    def __init__(
        self,
        app: ASGIApp,
        audit: Audit,
        verbs: Mapping[str, str],
        role: str,
        where: str | None,
    ) -> None:
        """``verbs``: what each route is called; ``where`` None: the peer's address."""
        self._app = app
        self._audit = audit
        self._verbs = verbs
        self._role = role
        self._where = where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the answer back until its line is on disk."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._write(scope, int(message["status"]))
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            await self._write(scope, 500)
            raise

    async def _write(self, scope: Scope, status: int) -> None:
        route = scope.get("route")
        verb = self._verbs.get(f"{scope['method']} {getattr(route, 'path', '')}")
        outcome = "done" if status < 400 else refusal_of(scope)
        if verb is None or (self._where is None and outcome not in _FROM_ANYBODY):
            return
        note = scope["state"].get(_NOTE) or Note()
        parts = "/".join(map(str, scope.get("path_params", {}).values()))
        where = note.where or self._where or peer(Request(scope)) or ""
        line = Line(
            time.time(),
            note.who,
            note.role or self._role,
            where,
            verb,
            note.subject or parts,
            outcome,
            note.before,
            note.after,
        )
        try:
            await self._audit.add(line)
        except sqlite3.OperationalError as error:
            # What was done is done; the journal has the line.
            log.error("the audit has no line of this: %s", error)
