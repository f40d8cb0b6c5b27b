# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy would change: how things are and how they would be, as lines to compare."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..base.policy_files import did_you_mean
from .catalog import Judged, Named
from .known import Known
from .policy import Policy


class Effects:
    """Runs in the event loop."""

    def __init__(self, known: Known) -> None:
        """``known``: how things are."""
        self._images, self._catalog = known.images, known.catalog
        self._aliases, self._policy = known.aliases, known.policy
        self._named, self._run = known.named, known.run

    async def of(self, policy: Policy) -> dict[str, Any]:
        """Problems; or warnings, and how things are before and after."""
        problems = await self._run(self._catalog.problems, policy)
        if problems:
            return {"problems": problems}
        named = await self._named()
        return await self._run(self._compare, policy, named)

    def _compare(self, policy: Policy, named: Named) -> dict[str, Any]:
        before, now = self._policy.usable(), datetime.now(UTC)
        return {
            "problems": [],
            "warnings": self._warnings(policy),
            "before": self._lines(before, named, now),
            "after": self._lines(policy, named, now),
        }

    def _warnings(self, policy: Policy) -> list[str]:
        there = self._images.names()
        return [
            f"policy_images.{name}: there is no image {name}{did_you_mean(name, there)} yet."
            for name in policy.images
            if name not in there
        ]

    def _lines(self, policy: Policy, named: Named, now: datetime) -> list[str]:
        lines = [
            f"alias {alias} is {each.target}" for alias, each in self._aliases.under(policy).items()
        ]
        for name in self._images.names():
            if note := self._catalog.note_of(policy, name):
                lines.append(f"{name}: {note}")
        for versions in self._catalog.judge_all(policy, named, now):
            lines += map(_line, versions)
        lines.append(f"deleted versions stay in the trash for {policy.trash_days} days")
        lines.append(f"every chunk is read within {policy.check_days} days")
        return lines


def _line(judged: Judged) -> str:
    reasons = judged.verdict.reasons
    what = f"kept: {', '.join(reasons)}" if reasons else "goes to the trash with the next prune"
    return f"{judged.name}@{judged.version} {what}"
