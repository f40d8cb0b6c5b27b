# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page may ask for: a part of the administrator's routes, each for a role."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as Parameter
from fastapi.routing import APIRoute
from slipway.format.names import parse_image_ref

from ..base.errors import ServiceError
from ..choices.ordering import Wanted
from ..service import Service
from ..sessions.verbs import that
from . import (
    audit,
    checks,
    contents,
    downloads,
    history,
    image_changes,
    image_rows,
    images,
    jobs,
    machines,
    next_boots,
    overview,
    reach,
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
from .reach import Reach, ReachDep, Within

router = APIRouter()
_HOUR = 3600.0

# Who may ask, whose routes they are, what answers, and what of it is for who has groups.
_LENT: tuple[tuple[Caller, APIRouter, dict[Callable[..., Any], Within]], ...] = (
    (
        VIEWER,
        machines.page,
        {machines.list_machines: reach.ITSELF, machines.get_machine: reach.MACHINE},
    ),
    (VIEWER, overview.page, {overview.overview: reach.ITSELF}),
    (
        VIEWER,
        jobs.admin,
        {jobs.list_jobs: reach.JOBS, jobs.get_job: reach.JOB, jobs.job_output: reach.JOB},
    ),
    (
        VIEWER,
        sessions.admin,
        {sessions.list_sessions: reach.SESSIONS, sessions.get_session: reach.SESSION},
    ),
    (VIEWER, images.page, {images.list_read_images: reach.IMAGES}),
    (VIEWER, image_rows.page, {image_rows.list_rows: reach.ITSELF}),
    (VIEWER, images.admin, {images.get_image: reach.IMAGE}),
    (VIEWER, image_changes.admin, {image_changes.list_trash: reach.TRASH}),
    (VIEWER, registrations.admin, {registrations.list_registrations: reach.REGISTRATIONS}),
    (VIEWER, upkeep.admin, {upkeep.prune_plan: reach.WHOLE, upkeep.upkeep: reach.UPKEEP}),
    (
        VIEWER,
        schedules.admin,
        {schedules.list_schedules: reach.SCHEDULES, schedules.get_schedule: reach.SCHEDULE},
    ),
    (VIEWER, simulation.admin, {simulation.prune_with: reach.WHOLE}),
    (VIEWER, status.admin, {status.status: reach.STATUS}),
    (VIEWER, history.admin, {history.room: reach.EVERYBODY, history.backups: reach.MACHINE}),
    (ADMIN, audit.admin, {audit.read_audit: reach.WHOLE}),
    (OPERATOR, jobs.admin, {jobs.cancel_job: reach.JOB}),
    (OPERATOR, sessions.admin, {sessions.end_session: reach.SESSION}),
    (OPERATOR, next_boots.admin, {next_boots.cancel_next_boot: reach.MACHINE}),
    (VIEWER, contents.admin, {contents.contents: reach.CONTENTS}),
    (VIEWER, checks.admin, {checks.last_check: reach.SEEN_IMAGE}),
    (OPERATOR, checks.page, {checks.begin_check: reach.SEEN_IMAGE}),
    (
        OPERATOR,
        downloads.page,
        {
            downloads.files: reach.SEEN_IMAGE,
            downloads.order_download: reach.SEEN_IMAGE,
            downloads.list_downloads: reach.DOWNLOADS,
            downloads.get_download: reach.DOWNLOAD,
            downloads.take_download: reach.DOWNLOAD,
            downloads.drop_download: reach.DOWNLOAD,
        },
    ),
    (OPERATOR, image_changes.admin, {image_changes.label: reach.OWN_IMAGE}),
    (
        OPERATOR,
        schedules.admin,
        {
            schedules.run_schedule: reach.OWN_SCHEDULE,
            schedules.pause_schedule: reach.OWN_SCHEDULE,
            schedules.skip_window: reach.OWN_SCHEDULE,
        },
    ),
    (
        ADMIN,
        image_changes.admin,
        {
            image_changes.delete_version: reach.OWN_IMAGE,
            image_changes.undelete: reach.TRASHED,
            image_changes.copy: reach.OWN_IMAGE,
            image_changes.rename: reach.OWN_IMAGE,
            image_changes.set_alias: reach.WHOLE,
            image_changes.drop_alias: reach.WHOLE,
        },
    ),
    (ADMIN, upkeep.admin, {upkeep.prune: reach.WHOLE}),
    (ADMIN, upkeep.page, {upkeep.begin_collect: reach.WHOLE}),
    (
        ADMIN,
        registrations.admin,
        {registrations.wish: reach.WHOLE, registrations.refuse: reach.WHOLE},
    ),
)
_GROUPS = ("wrong_role", "wrong_group")


def _lend(caller: Caller, route: APIRoute, within: Within) -> None:
    router.add_api_route(
        route.path,
        _of_groups(route.endpoint, within),
        methods=list(route.methods or ()),
        status_code=route.status_code,
        response_model=route.response_model,
        response_class=route.response_class,
        responses=route.responses | refusals(*_GROUPS, *within.refusals),
        dependencies=[Depends(caller.guard)],
    )


def _of_groups(endpoint: Callable[..., Any], within: Within) -> Callable[..., Any]:
    """The endpoint for who has groups; for who has none it answers as ever."""
    known = inspect.signature(endpoint, eval_str=True)
    more = (("_reach", ReachDep), ("_service", ServiceDep))
    keyword = inspect.Parameter.KEYWORD_ONLY

    @functools.wraps(endpoint)
    async def answer(*, _reach: Reach, _service: Service, **asked: Any) -> Any:
        return await within.answer(endpoint, _reach, _service, asked)

    parameters = [each.replace(kind=keyword) for each in known.parameters.values()]
    parameters += [inspect.Parameter(name, keyword, annotation=kind) for name, kind in more]
    answer.__signature__ = known.replace(parameters=parameters)  # type: ignore[attr-defined]
    return answer


for _caller, _source, _endpoints in _LENT:
    for _route in _source.routes:
        if isinstance(_route, APIRoute) and _route.endpoint in _endpoints:
            _lend(_caller, _route, _endpoints[_route.endpoint])


_REFUSED = refusals(
    *_GROUPS,
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
    wanted: Annotated[models.PlannedJob, Parameter()],
    by: ByDep,
    of: ReachDep,
    service: ServiceDep,
) -> Any:
    """What an order would be, or why it would be refused. Keeps nothing."""
    return await _order(service, models.NewJob(**wanted.model_dump()), by, of, check=True)


@router.post(
    "/v1/jobs",
    status_code=201,
    response_model=models.JobView,
    dependencies=[Depends(OPERATOR.guard)],
    responses=_REFUSED,
)
async def order_job(
    wanted: models.NewJob, by: ByDep, note: NoteDep, of: ReachDep, service: ServiceDep
) -> Any:
    """Order a job for a machine that is off, from the page."""
    note.about(wanted.machine, after=f"{wanted.verb} {wanted.image or ''}".rstrip())
    return await _order(service, wanted, by, of, check=False)


@router.post(
    "/v1/next-boots/{machine}",
    status_code=201,
    response_model=models.NextBootView,
    dependencies=[Depends(OPERATOR.guard)],
    responses=refusals(*_GROUPS, "restores_bounded", "unknown_machine", "no_such_item", *BODY),
)
async def boot_once(
    machine: MachineName,
    wanted: models.MenuItemWanted,
    by: ByDep,
    note: NoteDep,
    of: ReachDep,
    service: ServiceDep,
) -> Any:
    """Let a machine's next boot lead into an item of its own menu, once."""
    of.must_have(machine)
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


async def _order(
    service: Service, wanted: models.NewJob, by: str, of: Reach, *, check: bool
) -> Any:
    of.must_have(wanted.machine)
    if wanted.image is not None:
        # What is written to under another's name would be his.
        of.must_see(parse_image_ref(wanted.image).name, own=wanted.verb in that("writes"))
    if wanted.verb == "restore":
        _refuse_too_many_restores(service)
    asked = Wanted(wanted.machine, wanted.verb, wanted.image, wanted.options, wanted.after)
    try:
        return service.jobs.view(await service.ordering.order(asked, "web", by, check=check))
    except ServiceError as error:
        raise of.plain(error) from error


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
