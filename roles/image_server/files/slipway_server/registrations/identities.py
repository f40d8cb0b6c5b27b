# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines of the inventory said about themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..base.rows import Rows
from .registration import KNOWN, Identity, compare, identity

MOST_MACHINES = 20_000


class Identities:
    """Runs in the event loop; every change is on disk before its answer."""

    def __init__(self, rows: Rows) -> None:
        """Load them."""
        self._rows = rows
        self._machines = {
            machine: Identity(
                tuple(body["macs"]), body["uuid"], body["serial"], body.get("confirmed", False)
            )
            for machine, body in rows.load().items()
        }

    def all(self) -> dict[str, Identity]:
        """What each machine said when it last checked in."""
        return dict(self._machines)

    def of(self, machine: str) -> Identity | None:
        """What a machine of the inventory said about itself last."""
        return self._machines.get(machine)

    async def saw(
        self,
        machine: str,
        macs: tuple[str, ...],
        hardware: Mapping[str, Any],
        *,
        confirmed: bool = False,
    ) -> None:
        """Remember what a machine of the inventory says about itself.

        ``confirmed``: an administrator stands behind it; that stays while it says the same.
        """
        found = identity(macs, hardware)
        before = self._machines.get(machine)
        if confirmed or compare(before, found) == KNOWN:
            found = dataclasses.replace(found, confirmed=True)
        if before == found:
            return
        old = [] if machine in self._machines else list(self._machines)[: -MOST_MACHINES + 1]
        for each in old:
            del self._machines[each]
        self._machines[machine] = found
        await self._rows.put(machine, dataclasses.asdict(found), old)

    async def forget(self, machine: str) -> Identity | None:
        """Forget what a machine said about itself; return it, or None if that is nothing."""
        found = self._machines.pop(machine, None)
        if found is not None:
            await self._rows.drop([machine])
        return found
