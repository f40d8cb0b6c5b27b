# SPDX-License-Identifier: GPL-3.0-or-later
"""How a session begins: its version is made concrete, and the check of its image begins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..base.state_file import Change
from ..base.threads import Run, Tasks
from ..images.checks import Check, Checker
from ..images.images import Images
from ..jobs.job import Job
from ..sessions.session import Session
from ..sessions.sessions import Sessions
from ..sessions.verbs import VERBS

log = logging.getLogger(__name__)


class Openings:
    """Runs in the event loop."""

    def __init__(
        self,
        sessions: Sessions,
        images: Images,
        checker: Checker,
        begins: Callable[[float], None],
        run: Run,
        sharing: Callable[[str], frozenset[str]],
    ) -> None:
        """``begins`` is told when a session does; ``run`` does blocking work in a thread.

        ``sharing`` names the machines that have a card in common with one, and are told from it.
        """
        self._sessions = sessions
        self._images = images
        self._checker = checker
        self._begins = begins
        self._run = run
        self._sharing = sharing
        self._checks: dict[str, Check] = {}
        self._tasks = Tasks()

    def take_up(self) -> None:
        """Check again what an earlier process did not finish checking."""
        for item in self._sessions.open_sessions():
            if item.uses == "reads" and not _is_checked(item):
                self._check_for(item)

    async def open_session(
        self,
        machine: str,
        macs: tuple[str, ...],
        verb: str,
        image: str | None,
        version: str | None,
        ttl_seconds: int,
        job: Job | None = None,
        *,
        full_check: bool = False,
        also: Callable[[str], Change] | None = None,
    ) -> Session:
        """Create a session; a version to restore is made concrete and its check begins.

        With ``full_check`` that reads every chunk, whatever was found sound lately.
        """
        if VERBS[verb] == "reads" and image is not None:
            image, version = await self._run(self._images.find, image, version)
        elif image is not None:
            await self._run(self._images.refuse_alias, image)
        sharing = await self._run(self._sharing, machine)
        made = await self._sessions.create(
            machine, macs, verb, image, version, ttl_seconds, job, full_check, also, sharing
        )
        self._begins(made.created)
        log.info("session %s: %s %s of %s", made.id, verb, machine, image)
        if VERBS[verb] == "reads":
            self._check_for(made)
        return made

    def check_of(self, item: Session) -> dict[str, Any] | None:
        """The check of the session's image as it stands now."""
        check = self._checks.get(item.id)
        return item.image_check if check is None else check.view()

    def is_image_checked(self, item: Session) -> bool:
        """Whether no check of the session's image is under way."""
        return not item.open or item.id not in self._checks

    async def stop(self) -> None:
        """Wait for no check any more."""
        await self._tasks.stop()

    def _check_for(self, item: Session) -> None:
        check = self._checker.start(str(item.image), str(item.version), full=item.full_check)
        self._checks[item.id] = check
        self._tasks.spawn(self._await_check(item.id, check))

    async def _await_check(self, session_id: str, check: Check) -> None:
        await check.done.wait()
        del self._checks[session_id]
        await self._sessions.update(session_id, image_check=check.view())


def _is_checked(item: Session) -> bool:
    return item.image_check is not None and item.image_check["state"] != "running"
