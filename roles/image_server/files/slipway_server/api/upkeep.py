# SPDX-License-Identifier: GPL-3.0-or-later
"""The care of images: what a policy would do, pruning, collecting, reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter

from ..base.policy_files import PolicyError
from ..base.times import iso
from ..images import media_policy, pruner
from ..images.policy import ELSEWHERE, parse
from ..images.upkeep import COLLECTION, PRUNE, SCRUB
from ..jobs.schedule_files import Plan
from ..jobs.schedule_files import parse as parse_plan
from .callers import AS_ROOT
from .common import BODY, ServiceDep, refusals
from .models import keeping as models

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
page = APIRouter(prefix="/v1")
_T = TypeVar("_T")


@admin.post("/policy/effect", response_model=models.PolicyEffect, responses=refusals(*BODY))
async def policy_effect(wanted: models.PolicyRequest, service: ServiceDep) -> Any:
    """What a policy would change, and what of it can't be meant. Changes nothing."""
    said = wanted.policy
    problems: list[str] = []
    policy = _read(parse, {key: said[key] for key in said if key not in ELSEWHERE}, problems)
    plan = _read(parse_plan, {key: said[key] for key in said if key in Plan.model_fields}, problems)
    media = _read(media_policy.parse, {key: said[key] for key in said if key == "media"}, problems)
    warnings: list[str] = []
    if plan is not None:
        problems += await service.night_desk.problems(plan)
    if media is not None:
        faults, warnings = await service.media_clock.faults(media)
        problems += faults
    found = {"problems": []} if policy is None else await service.effects.of(policy)
    problems = [*found["problems"], *problems]
    if policy is None or plan is None or media is None or problems:
        # A time zone that does not exist is a fault of both.
        return {"problems": list(dict.fromkeys(problems))}
    before = await service.run(service.media_clock.file.usable)
    found["warnings"] += [*await service.night_desk.warnings(plan), *warnings]
    found["before"] += [*await service.night_desk.before(), *media_policy.lines(before)]
    found["after"] += [*service.night_desk.lines(plan), *media_policy.lines(media)]
    return found


def _read(read: Callable[[Any], _T], value: Any, problems: list[str]) -> _T | None:
    try:
        return read(value)
    except PolicyError as error:
        problems += error.problems
        return None


@admin.get("/prune", response_model=models.PrunePlan, responses=refusals("policy_broken"))
async def prune_plan(service: ServiceDep) -> Any:
    """What a run would move to the trash now. Changes nothing."""
    policy = await service.run(service.policy.current)
    plan = await service.pruner.plan(policy)
    return await service.run(pruner.view, plan, service.catalog, policy)


@admin.post(
    "/prune",
    response_model=models.Pruned,
    responses=refusals(*BODY, "policy_broken", "prune_waits", "plan_changed", "store_failed"),
)
async def prune(wanted: models.PruneRequest, service: ServiceDep) -> Any:
    """Move what no rule keeps to the trash, and remove what lay there long enough."""
    plan, gone = await service.upkeep.prune(wanted.confirm)
    return {"removed": gone, "digest": plan.digest}


@admin.get("/upkeep", response_model=models.UpkeepView, responses=refusals())
async def upkeep(service: ServiceDep) -> Any:
    """What was done last."""
    works = (PRUNE, COLLECTION, SCRUB)
    return {
        **{work: service.upkeep.records.of(work) for work in works},
        "under_way": [work for work in works if service.upkeep.is_under_way(work)],
        "waits_for": service.upkeep.waits_for(),
        "progress": service.upkeep.progress(),
        "reading": service.first_look.progress(),
        "cut_off": {work: iso(at) for work, at in service.upkeep.records.cut_off.items()},
    }


@admin.post(
    "/collect",
    response_model=models.Work,
    responses=refusals("already_runs", "collection_stopped", "store_failed", "store_full"),
)
async def collect(service: ServiceDep) -> Any:
    """Free what nobody names; answer when done."""
    return await service.upkeep.collect()


@page.post(
    "/collect",
    status_code=202,
    response_model=models.UpkeepView,
    responses=refusals("already_runs"),
)
async def begin_collect(service: ServiceDep) -> Any:
    """Begin to free what nobody names; how it goes and its outcome are shown by upkeep."""
    service.upkeep.begin_collect()
    return await upkeep(service)


@admin.post(
    "/scrub",
    status_code=202,
    response_model=models.ScrubBegun,
    responses=refusals(*BODY, "already_runs"),
)
async def scrub(wanted: models.ScrubRequest, service: ServiceDep) -> Any:
    """Begin to read the store's chunks; what it waits for and its outcome are shown by upkeep."""
    return {"waits_for": service.upkeep.begin_scrub(wanted.older_than_days)}
