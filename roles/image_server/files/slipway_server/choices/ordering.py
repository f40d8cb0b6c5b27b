# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for machines that are off: what somebody orders who is not at the machine.

The machine and its cards are those of the menu that the role boot_menu has written for it, so what
is ordered is for a machine of the inventory and no other.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from slipway.format.names import parse_image_ref

from ..base.errors import ServiceError
from ..base.threads import Run
from ..images.images import Images
from ..jobs.job import Job
from ..jobs.jobs import Jobs
from ..sessions.sessions import Sessions
from ..sessions.verbs import that
from .busy import refuse_busy
from .menu_files import MachineMenu, MenuFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What is ordered. ``image`` None: the one that has the machine's name."""

    machine: str
    verb: str
    image: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    after: str = "as_found"
    # It is not begun from then on, in seconds since the epoch.
    not_after: float | None = None


class Ordering:
    """Runs in the event loop."""

    def __init__(
        self, menus: MenuFiles, images: Images, jobs: Jobs, sessions: Sessions, run: Run
    ) -> None:
        """``run`` does blocking work in a thread."""
        self._menus = menus
        self._images = images
        self._jobs = jobs
        self._sessions = sessions
        self._run = run

    async def order(self, wanted: Wanted, origin: str, by: str, *, check: bool = False) -> Job:
        """Make a job that wakes its machine; with ``check`` only say what it would be.

        All that can be refused is refused here, before anything is kept.
        """
        menu = await self._machine(wanted.machine)
        image = await self._image(wanted)
        sharing = await self._run(self._menus.sharing, menu.machine)
        # From here on nothing waits before the job is in the books.
        refuse_busy(self._jobs, self._sessions, menu.machine, menu.macs, sharing)
        job = Job(
            id="",
            machine=menu.machine,
            macs=menu.macs,
            verb=wanted.verb,
            image=image,
            created=time.time(),
            origin=origin,
            by=by,
            arrival="wakes",
            options=wanted.options,
            after=wanted.after,
            not_after=wanted.not_after,
        )
        if check:
            return job
        made = await self._jobs.order(job)
        log.info("job %s: %s of %s, ordered by %s", made.id, made.verb, made.machine, by)
        return made

    async def _machine(self, name: str) -> MachineMenu:
        menu = await self._run(self._menus.of, name)
        if menu is None:
            raise ServiceError("unknown_machine", f"This server has no menu of {name}.")
        if not menu.macs:
            raise ServiceError("unknown_machine", f"{name} has no MAC address on this server.")
        return menu

    async def _image(self, wanted: Wanted) -> str | None:
        if wanted.verb == "wake":
            if wanted.image is not None:
                raise ServiceError("bad_request", "image: wake takes none.")
            return None
        if wanted.verb == "restore" and wanted.image is None:
            raise ServiceError("bad_request", "image: say which one is to be restored.")
        found = parse_image_ref(wanted.image or wanted.machine)
        if wanted.verb in that("reads"):
            await self._run(self._images.find, found.name, found.version)
        elif found.version is not None:
            raise ServiceError(
                "bad_request", "image: a backup makes a new version; say NAME alone."
            )
        else:
            await self._run(self._images.refuse_alias, found.name)
        return str(found)
