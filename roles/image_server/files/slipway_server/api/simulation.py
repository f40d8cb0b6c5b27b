# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prune would remove by other numbers. Changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as Parameter

from ..base.errors import ServiceError
from ..images import pruner
from ..images.policy import Keep
from .callers import AS_ROOT
from .common import BODY, ServiceDep, refusals
from .models import keeping as models

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
_Count = Annotated[int, Parameter(ge=0, le=9999)]


@admin.get(
    "/prune/with", response_model=models.PrunePlan, responses=refusals(*BODY, "policy_broken")
)
async def prune_with(
    service: ServiceDep,
    last: _Count = 0,
    daily: _Count = 0,
    weekly: _Count = 0,
    monthly: _Count = 0,
    yearly: _Count = 0,
) -> Any:
    """As if ``policy_keep`` had these numbers; images with rules of their own keep them."""
    if not any((last, daily, weekly, monthly, yearly)):
        raise ServiceError("bad_request", "Every number is 0, which would keep nothing.")
    keep = Keep(last=last, daily=daily, weekly=weekly, monthly=monthly, yearly=yearly)
    policy = (await service.run(service.policy.current)).model_copy(update={"keep": keep})
    plan = await service.pruner.plan(policy)
    return await service.run(pruner.view, plan, service.catalog, policy)
