# SPDX-License-Identifier: GPL-3.0-or-later
"""What no rule keeps goes to the trash, unless that is more than can be meant."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..base.errors import ServiceError
from ..base.times import iso
from .catalog import Catalog, Judged
from .changes import Changes
from .known import Known
from .policy import Policy
from .trash import Deletion

BY, WHY = "policy", "no rule keeps it"
# A plan may always remove so many, or this part of all versions, beside what was made since.
_FREE, _FREE_PART = 10, 20


@dataclass(frozen=True)
class Plan:
    """What a run would move to the trash."""

    remove: tuple[Judged, ...]
    kept: int
    # Removing more than that waits for somebody's word.
    limit: int

    @property
    def digest(self) -> str:
        """What names this plan and no other."""
        names = "\n".join(sorted(f"{each.name}@{each.version}" for each in self.remove))
        return hashlib.sha256(names.encode()).hexdigest()[:16]

    @property
    def waits(self) -> bool:
        """Whether it wants its digest said."""
        return len(self.remove) > self.limit


def make_plan(images: Iterable[list[Judged]], made_since: float | None) -> Plan:
    """Plan by what was judged; ``made_since``: when the last run was, None: there was none."""
    since = None if made_since is None else iso(made_since)
    remove: list[Judged] = []
    count = made = 0
    for versions in images:
        count += len(versions)
        remove += [each for each in versions if not each.verdict.reasons]
        if since is not None:
            made += sum(each.summary["created"] > since for each in versions)
    return Plan(tuple(remove), count - len(remove), made + max(_FREE, count // _FREE_PART))


class Pruner:
    """Made inside the running event loop."""

    def __init__(
        self, known: Known, changes: Changes, last_run: Callable[[], float | None]
    ) -> None:
        """``last_run``: seconds since the epoch."""
        self._catalog, self._policy = known.catalog, known.policy
        self._named, self._run = known.named, known.run
        self._changes = changes
        self._last_run = last_run

    async def plan(self, policy: Policy | None = None) -> Plan:
        """What would go now, by the policy that there is or by another."""
        said = await self._run(self._policy.current) if policy is None else policy
        named = await self._named()
        last_run = self._last_run()

        def judge() -> Plan:
            return make_plan(self._catalog.judge_all(said, named, datetime.now(UTC)), last_run)

        return await self._run(judge)

    async def prune(self, confirm: str | None) -> tuple[Plan, list[str]]:
        """Do it; return the plan, and those of it that went."""
        async with self._changes.one:
            plan = await self.plan()
            if confirm is not None and confirm != plan.digest:
                raise ServiceError(
                    "plan_changed",
                    f"The plan is another one by now: {len(plan.remove)} versions, {plan.digest}.",
                    digest=plan.digest,
                )
            if plan.waits and confirm is None:
                raise ServiceError(
                    "prune_waits",
                    f"{len(plan.remove)} of {len(plan.remove) + plan.kept} versions would go, more "
                    f"than the {plan.limit} that may without a word. Nothing was moved. The plan's "
                    f"digest is {plan.digest}.",
                    digest=plan.digest,
                )
            gone = [(each.name, each.version) for each in plan.remove]
            back = await self._changes.take(gone, Deletion(time.time(), BY, WHY)) if gone else []
            return plan, [
                f"{name}@{version}" for name, version in gone if (name, version) not in back
            ]

    async def empty_trash(self, now: float) -> int:
        """Remove what lay in the trash for as long as the policy says; return how many did."""
        days = (await self._run(self._policy.current)).trash_days
        gone = await self._changes.empty(lambda _, __, deletion: deletion.at + days * 86400 <= now)
        return len(gone)


def view(plan: Plan, catalog: Catalog, policy: Policy) -> dict[str, Any]:
    """A plan as the API shows it."""
    return {
        "remove": [catalog.view(policy, each) | {"name": each.name} for each in plan.remove],
        "kept": plan.kept,
        "limit": plan.limit,
        "digest": plan.digest,
        "waits": plan.waits,
    }
