# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as the page shows them: what each is, when it was saved, what it does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from ..base.errors import ServiceError
from ..base.times import iso
from ..choices.menu_files import MachineMenu
from ..jobs.job import Job
from ..service import Service
from ..sessions.session import Session
from .common import ServiceDep, refusals
from .models import machines as models
from .models.common import MachineName

page = APIRouter(prefix="/v1")
_Saved = dict[str, dict[str, Any]]


@page.get("/machines", response_model=models.MachineList, responses=refusals("policy_broken"))
async def list_machines(service: ServiceDep) -> Any:
    """All machines that have a menu, by name."""
    menus = await service.run(service.menus.all)
    saved = await _saved(service)
    jobs, sessions = _last(service.jobs.all()), _last(service.sessions.all())
    return {
        "machines": [
            _shown(menu, saved, jobs.get(menu.machine), sessions.get(menu.machine))
            for menu in sorted(menus, key=lambda each: each.machine)
        ]
    }


@page.get(
    "/machines/{machine}",
    response_model=models.MachineDetails,
    responses=refusals("unknown_machine", "policy_broken"),
)
async def get_machine(machine: MachineName, service: ServiceDep) -> Any:
    """One machine, with what its firmware said and what its menu offers."""
    menu = await service.run(service.menus.of, machine)
    if menu is None:
        raise ServiceError("unknown_machine", f"This server has no menu of {machine}.")
    job = _last(service.jobs.all()).get(machine)
    sessions = [each for each in service.sessions.all() if each.machine == machine]
    # What the newest session that checked in has told.
    told = next((each.hardware for each in reversed(sessions) if each.hardware), {})
    identity, armed = service.identities.of(machine), service.next_boots.armed(machine)
    saved = await _saved(service)
    return _shown(menu, saved, job, sessions[-1] if sessions else None) | {
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


def _last(items: list[Any]) -> dict[str, Any]:
    """The last of each machine; they come oldest first."""
    return {each.machine: each for each in items}


def _shown(
    menu: MachineMenu, saved: _Saved, job: Job | None, session: Session | None
) -> dict[str, Any]:
    heard = session.last_heard or session.checked_in_at if session else None
    return {
        "name": menu.machine,
        "macs": list(menu.macs),
        "address": menu.address,
        "saved": saved.get(menu.machine),
        "job": None
        if job is None
        else {"id": job.id, "verb": job.verb, "state": job.state, "outcome": job.outcome},
        "session": session.id if session and session.open else None,
        "heard": iso(heard) if heard else None,
        "model": _model(session),
    }


def _model(session: Session | None) -> str:
    said = session.hardware.get("model") if session else None
    return said[:128] if isinstance(said, str) else ""


async def _saved(service: Service) -> _Saved:
    """The newest good version of each machine, whatever its image is called."""
    named = await service.naming.named()

    def collect() -> _Saved:
        found: _Saved = {}
        policy = service.policy.usable()
        for versions in service.catalog.judge_all(policy, named, datetime.now(UTC)):
            for each in versions:
                machine = each.summary["machine"] or each.name
                before = found.get(machine)
                if each.good and (before is None or before["version"] < each.version):
                    found[machine] = {
                        "image": each.name,
                        "version": each.version,
                        "created": each.summary["created"],
                    }
        return found

    return await service.run(collect)
