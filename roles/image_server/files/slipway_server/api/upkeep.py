# SPDX-License-Identifier: GPL-3.0-or-later
"""The care of images: what a policy would do, pruning, collecting, reading."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..images import pruner
from ..images.policy import PolicyError, parse
from ..images.upkeep import COLLECTION, PRUNE, SCRUB
from .common import BODY, ServiceDep, refusals
from .models import keeping as models

admin = APIRouter(prefix="/v1")


@admin.post("/policy/effect", response_model=models.PolicyEffect, responses=refusals(*BODY))
async def policy_effect(wanted: models.PolicyRequest, service: ServiceDep) -> Any:
    """What a policy would change, and what of it can't be meant. Changes nothing."""
    try:
        policy = parse(wanted.policy)
    except PolicyError as error:
        return {"problems": error.problems}
    return await service.effects.of(policy)


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
    }


@admin.post(
    "/collect",
    response_model=models.Work,
    responses=refusals("already_runs", "collection_stopped", "store_failed", "store_full"),
)
async def collect(service: ServiceDep) -> Any:
    """Free what nobody names; answer when done."""
    return await service.upkeep.collect()


@admin.post("/scrub", response_model=models.Work, responses=refusals(*BODY, "already_runs"))
async def scrub(wanted: models.ScrubRequest, service: ServiceDep) -> Any:
    """Read the store's chunks now; answer when done."""
    return await service.upkeep.scrub(wanted.older_than_days)
