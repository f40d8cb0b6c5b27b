# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page may ask for: a part of the administrator's routes, each for a role."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as Parameter
from fastapi.routing import APIRoute

from ..base.errors import ServiceError
from ..choices.ordering import Wanted
from ..service import Service
from . import (
    audited,
    checks,
    contents,
    downloads,
    history,
    image_changes,
    images,
    jobs,
    machines,
    next_boots,
    registrations,
    schedules,
    sessions,
    simulation,
    status,
    upkeep,
)
from .audited import NoteDep
from .callers import ADMIN, OPERATOR, VIEWER, ByDep, Caller
from .common import BODY, ServiceDep, refusals
from .models import jobs as models
from .models.common import MachineName

router = APIRouter()
_HOUR = 3600.0

# Who may ask, whose routes they are, what answers.
_LENT: tuple[tuple[Caller, APIRouter, tuple[Callable[..., Any], ...]], ...] = (
    (VIEWER, machines.page, (machines.list_machines, machines.get_machine)),
    (VIEWER, jobs.admin, (jobs.list_jobs, jobs.get_job, jobs.job_output)),
    (VIEWER, sessions.admin, (sessions.list_sessions, sessions.get_session)),
    (VIEWER, images.admin, (images.list_images, images.get_image)),
    (VIEWER, image_changes.admin, (image_changes.list_trash,)),
    (VIEWER, registrations.admin, (registrations.list_registrations,)),
    (VIEWER, upkeep.admin, (upkeep.prune_plan, upkeep.upkeep)),
    (VIEWER, schedules.admin, (schedules.list_schedules, schedules.get_schedule)),
    (VIEWER, simulation.admin, (simulation.prune_with,)),
    (VIEWER, status.admin, (status.status,)),
    (VIEWER, history.admin, (history.room, history.backups)),
    (ADMIN, audited.admin, (audited.read_audit,)),
    (OPERATOR, jobs.admin, (jobs.cancel_job,)),
    (OPERATOR, sessions.admin, (sessions.end_session,)),
    (OPERATOR, next_boots.admin, (next_boots.cancel_next_boot,)),
    (VIEWER, contents.admin, (contents.contents,)),
    (VIEWER, checks.admin, (checks.last_check,)),
    (OPERATOR, checks.page, (checks.begin_check,)),
    (
        OPERATOR,
        downloads.page,
        (
            downloads.files,
            downloads.order_download,
            downloads.list_downloads,
            downloads.get_download,
            downloads.take_download,
            downloads.drop_download,
        ),
    ),
    (OPERATOR, image_changes.admin, (image_changes.label,)),
    (
        OPERATOR,
        schedules.admin,
        (schedules.run_schedule, schedules.pause_schedule, schedules.skip_window),
    ),
    (
        ADMIN,
        image_changes.admin,
        (
            image_changes.delete_version,
            image_changes.undelete,
            image_changes.copy,
            image_changes.rename,
            image_changes.set_alias,
            image_changes.drop_alias,
        ),
    ),
    (ADMIN, upkeep.admin, (upkeep.prune,)),
    (ADMIN, upkeep.page, (upkeep.begin_collect,)),
    (ADMIN, registrations.admin, (registrations.wish, registrations.refuse)),
)


def _lend(caller: Caller, route: APIRoute) -> None:
    router.add_api_route(
        route.path,
        route.endpoint,
        methods=list(route.methods or ()),
        status_code=route.status_code,
        response_model=route.response_model,
        response_class=route.response_class,
        responses=route.responses | refusals("wrong_role"),
        dependencies=[Depends(caller.guard)],
    )


for _caller, _source, _endpoints in _LENT:
    for _route in _source.routes:
        if isinstance(_route, APIRoute) and _route.endpoint in _endpoints:
            _lend(_caller, _route)


_REFUSED = refusals(
    "wrong_role",
    "restores_bounded",
    "unknown_machine",
    "unknown_image",
    "unknown_version",
    "machine_busy",
    *BODY,
)


@router.get(
    "/v1/plan",
    response_model=models.JobView,
    dependencies=[Depends(OPERATOR.guard)],
    responses=_REFUSED,
)
async def plan_job(
    wanted: Annotated[models.PlannedJob, Parameter()], by: ByDep, service: ServiceDep
) -> Any:
    """What an order would be, or why it would be refused. Keeps nothing."""
    return await _order(service, models.NewJob(**wanted.model_dump()), by, check=True)


@router.post(
    "/v1/jobs",
    status_code=201,
    response_model=models.JobView,
    dependencies=[Depends(OPERATOR.guard)],
    responses=_REFUSED,
)
async def order_job(wanted: models.NewJob, by: ByDep, note: NoteDep, service: ServiceDep) -> Any:
    """Order a job for a machine that is off, from the page."""
    note.about(wanted.machine, after=f"{wanted.verb} {wanted.image or ''}".rstrip())
    return await _order(service, wanted, by, check=False)


@router.post(
    "/v1/next-boots/{machine}",
    status_code=201,
    response_model=models.NextBootView,
    dependencies=[Depends(OPERATOR.guard)],
    responses=refusals("wrong_role", "restores_bounded", "unknown_machine", "no_such_item", *BODY),
)
async def boot_once(
    machine: MachineName,
    wanted: models.MenuItemWanted,
    by: ByDep,
    note: NoteDep,
    service: ServiceDep,
) -> Any:
    """Let a machine's next boot lead into an item of its own menu, once."""
    armed = service.next_boots.armed(machine)
    note.about(machine, armed.item if armed else None, wanted.item)
    menu = await service.run(service.menus.of, machine)
    if menu is None:
        raise ServiceError("unknown_machine", f"{machine} has no menu on this server.")
    if wanted.item not in menu.others and menu.item(wanted.item).action == "restore":
        # Such an order would be neither planned nor counted.
        raise ServiceError(
            "restores_bounded", f"{wanted.item} overwrites a disk: order a restore instead."
        )
    made = await service.next_boots.set(machine, menu.macs, wanted.item, None, False, by)
    return service.next_boots.view(made) | {"strangers": []}


async def _order(service: Service, wanted: models.NewJob, by: str, *, check: bool) -> Any:
    if wanted.verb == "restore":
        _refuse_too_many_restores(service)
    asked = Wanted(wanted.machine, wanted.verb, wanted.image, wanted.options, wanted.after)
    return service.jobs.view(await service.ordering.order(asked, "web", by, check=check))


def _refuse_too_many_restores(service: Service) -> None:
    """Whoever takes the page over does not overwrite two hundred PCs in a minute."""
    most, since = service.config.page_restores_per_hour, time.time() - _HOUR
    lately = sum(
        each.origin == "web" and each.verb == "restore" and each.created > since
        for each in service.jobs.all()
    )
    if most == 0:
        raise ServiceError("restores_bounded", "Restores from the page are turned off.")
    if lately >= most:
        raise ServiceError(
            "restores_bounded", f"The page has ordered {lately} restores within the last hour."
        )
