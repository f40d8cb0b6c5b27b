# SPDX-License-Identifier: GPL-3.0-or-later
"""Who names an image or a version, which stays while they do.

That is menus, orders, jobs, sessions, schedules and media that are made by themselves.
"""

from __future__ import annotations

from slipway.format.names import parse_image_ref

from ..base.policy_files import PolicyFile
from ..base.threads import Run
from ..images.media_policy import MediaPolicy
from ..jobs.jobs import Jobs
from ..jobs.next_boots import NextBoots
from ..jobs.schedule_files import Plan
from ..sessions.sessions import Sessions
from .menu_files import MenuFiles

_Names = dict[tuple[str, str | None], list[str]]


class Naming:
    """Runs in the event loop."""

    def __init__(
        self,
        menus: MenuFiles,
        next_boots: NextBoots,
        jobs: Jobs,
        sessions: Sessions,
        plans: PolicyFile[Plan],
        media: PolicyFile[MediaPolicy],
        run: Run,
    ) -> None:
        """``run`` does blocking work in a thread."""
        self._menus = menus
        self._next_boots = next_boots
        self._jobs = jobs
        self._sessions = sessions
        self._plans = plans
        self._media = media
        self._run = run

    async def named(self) -> _Names:
        """Each image with its version, None for the newest or for the image as such, and by whom.

        What is read from files comes first: what is in memory is of the moment of the answer.
        """
        found: _Names = {}
        for reference, who in await self._run(self._in_files):
            _add(found, reference, who)
        for order in self._next_boots.all():
            if order.state == "armed" and order.image:
                _add(found, order.image, f"boot_once of {order.machine}")
        for job in self._jobs.all():
            if job.open and job.image:
                _add(found, job.image, f"job {job.id} of {job.machine} ({job.verb})")
        for item in self._sessions.open_sessions():
            if item.image:
                version = None if item.verb == "backup" else item.version
                who = f"session of {item.machine} ({item.verb})"
                found.setdefault((item.image, version), []).append(who)
        return found

    def _in_files(self) -> list[tuple[str, str]]:
        planned = [
            (said.image, f"schedule {name}")
            for name, said in self._plans.usable().schedules.items()
            if said.image is not None
        ]
        planned += [
            (said.image, f"media {name}")
            for name, said in self._media.usable().media.items()
            if said.image is not None
        ]
        return planned + [
            (reference, f"menu of {menu.machine}, item {item.id}")
            for menu in self._menus.all()
            for item in menu.items
            if item.action == "restore"
            for reference in item.images or [item.image]
            if reference is not None
        ]


def _add(found: _Names, reference: str, who: str) -> None:
    wanted = parse_image_ref(reference)
    found.setdefault((wanted.name, wanted.version), []).append(who)
