# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as the page shows them: what each is, when it was saved, what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter
from fastapi import Query as Parameter
from pydantic import Field

from ..base.errors import ServiceError
from ..base.times import iso
from ..choices.menu_files import MachineMenu
from ..images.newest import Newest
from ..jobs.job import Job
from ..service import Service
from ..sessions.session import Session
from .common import ServiceDep, refusals
from .listing import Asked, listed
from .models import machines as models
from .models.common import MachineName
from .reach import ReachDep

page = APIRouter(prefix="/v1")


class _Asked(Asked):
    """A part of the list of machines."""

    group: Annotated[str, Field(max_length=63, description="of the inventory")] = ""


class _Row(NamedTuple):
    """What is known of a machine."""

    menu: MachineMenu
    saved: Newest | None
    job: Job | None
    session: Session | None

    @property
    def model(self) -> str:
        """In the PC's own words."""
        said = self.session.hardware.get("model") if self.session else None
        return said[:128] if isinstance(said, str) else ""

    @property
    def heard(self) -> float | None:
        """When its last session was heard of."""
        return self.session.last_heard or self.session.checked_in_at if self.session else None

    @property
    def text(self) -> str:
        """What a filter looks at."""
        image = self.saved.image if self.saved else ""
        return " ".join((self.menu.machine, self.model, image, self.menu.address or "",
                         *self.menu.macs))  # fmt: skip


_SORTED_BY: dict[str, Callable[[_Row], Any]] = {
    "name": lambda row: row.menu.machine,
    "model": lambda row: row.model,
    "saved": lambda row: row.saved.created if row.saved else "",
    "job": lambda row: row.job.verb if row.job else "",
    "heard": lambda row: row.heard or 0.0,
}


@page.get("/machines", response_model=models.MachineList, responses=refusals())
async def list_machines(
    asked: Annotated[_Asked, Parameter()], reach: ReachDep, service: ServiceDep
) -> Any:
    """Machines that have a menu: all of them by name, unless something else is asked for."""
    menus, saved = await service.run(_in_files, service)
    menus = [menu for menu in menus if reach.has(menu.machine)]
    groups, total = sorted({group for menu in menus for group in menu.groups}), len(menus)
    if asked.group:
        menus = [menu for menu in menus if asked.group in menu.groups]
    rows = await service.run(
        _rows, menus, saved, _last(service.jobs.all()), _last(service.sessions.all())
    )
    found = await service.run(listed, rows, asked, _SORTED_BY, lambda row: row.text)
    shown = [_shown(row) for row in found.rows]
    return found.said() | {
        "machines": shown,
        "groups": groups,
        "total": total,
        "reading": service.first_look.progress(),
    }


@page.get(
    "/machines/{machine}",
    response_model=models.MachineDetails,
    responses=refusals("unknown_machine"),
)
async def get_machine(machine: MachineName, service: ServiceDep) -> Any:
    """One machine, with what its firmware said and what its menu offers."""
    menu = await service.run(service.menus.of, machine)
    if menu is None:
        raise ServiceError("unknown_machine", f"This server has no menu of {machine}.")
    saved = (await service.run(service.newest.of_machines)).get(machine)
    job = _last(service.jobs.all()).get(machine)
    sessions = [each for each in service.sessions.all() if each.machine == machine]
    # What the newest session that checked in has told.
    told = next((each.hardware for each in reversed(sessions) if each.hardware), {})
    identity, armed = service.identities.of(machine), service.next_boots.armed(machine)
    return _shown(_Row(menu, saved, job, sessions[-1] if sessions else None)) | {
        "hardware": told,
        "uuid": identity.uuid if identity else None,
        "serial": identity.serial if identity else None,
        "confirmed": identity.confirmed if identity else False,
        "items": [
            {"id": each.id, "title": each.title, "action": each.action, "image": each.image}
            for each in menu.items
        ],
        "others": list(menu.others),
        "armed": armed.item if armed else None,
    }


def _in_files(service: Service) -> tuple[list[MachineMenu], Mapping[str, Newest]]:
    menus = sorted(service.menus.all(), key=lambda each: each.machine)
    return menus, service.newest.of_machines()


def _last(items: list[Any]) -> dict[str, Any]:
    """The last of each machine; they come oldest first."""
    return {each.machine: each for each in items}


def _rows(
    menus: Iterable[MachineMenu],
    saved: Mapping[str, Newest],
    jobs: Mapping[str, Job],
    sessions: Mapping[str, Session],
) -> list[_Row]:
    return [
        _Row(menu, saved.get(name), jobs.get(name), sessions.get(name))
        for menu in menus
        for name in (menu.machine,)
    ]


def _shown(row: _Row) -> dict[str, Any]:
    menu, saved, job, session = row
    return {
        "name": menu.machine,
        "macs": list(menu.macs),
        "groups": list(menu.groups),
        "address": menu.address,
        "saved": None
        if saved is None
        else {"image": saved.image, "version": saved.version, "created": saved.created},
        "job": None
        if job is None
        else {"id": job.id, "verb": job.verb, "state": job.state, "outcome": job.outcome},
        "session": session.id if session and session.open else None,
        "heard": iso(row.heard) if row.heard else None,
        "model": row.model,
    }
