# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine does at its next boot, once, because an administrator said so.

It is used up, durably, before the machine gets the script: whatever fails afterwards, and be it
the answer itself, the boot after that is an ordinary one. So it can't loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..base.errors import ServiceError
from ..base.records import Records, ended
from ..base.times import iso

# From the script to the choice that it leads to: a slow PC takes a minute or two.
_USABLE_SECONDS = 900.0
_TIMES = ("created", "ended_at")


@dataclass(frozen=True)
class NextBoot:
    """One order. Times are seconds since the epoch."""

    id: str
    machine: str
    macs: tuple[str, ...]
    item: str
    image: str | None
    created: float
    state: str = "armed"
    # served: the machine got its script; used: the choice behind it was made; cancelled.
    outcome: str | None = None
    ended_at: float | None = None
    # Whether the item's password is not asked for.
    without_password: bool = False
    # The address that got the script.
    served_to: str | None = None
    # The account that gave it; empty: nobody knows.
    by: str = ""


class NextBoots:
    """All orders that are kept."""

    def __init__(self, db: Records[NextBoot], clock: Callable[[], float] = time.monotonic) -> None:
        """Load them; how long ago a script was served is told by the wall clock but this once."""
        self._db = db
        self._clock = clock
        self._orders: dict[str, NextBoot] = {item.id: item for item in db.load()}
        wall, now = time.time(), clock()
        self._served = {
            item.id: now - max(0.0, wall - (item.ended_at or 0.0))
            for item in self._orders.values()
            if item.outcome == "served"
        }
        self._setting = asyncio.Lock()

    def all(self) -> list[NextBoot]:
        """Every order that is kept, oldest first."""
        return list(self._orders.values())

    def armed(self, machine: str) -> NextBoot | None:
        """The order that waits for a machine's boot."""
        waiting = (item for item in self._orders.values() if item.state == "armed")
        return next((item for item in waiting if item.machine == machine), None)

    async def set(
        self,
        machine: str,
        macs: tuple[str, ...],
        item: str,
        image: str | None,
        without_password: bool,
        by: str = "",
    ) -> NextBoot:
        """Give an order; it takes the place of the one before."""
        async with self._setting:
            await self.cancel(machine)
            made = NextBoot(
                id=secrets.token_hex(8),
                machine=machine,
                macs=macs,
                item=item,
                image=image,
                created=time.time(),
                without_password=without_password,
                by=by,
            )
            await self._commit(made)
        return made

    async def cancel(self, machine: str) -> NextBoot | None:
        """Take back the order that waits, if there is one."""
        waiting = self.armed(machine)
        if waiting is None:
            return None
        return await self._end(waiting, "cancelled")

    def waiting(self, mac: str) -> list[NextBoot]:
        """The orders for machines that have this card: several, where it is a dock's."""
        armed = (item for item in self._orders.values() if item.state == "armed")
        return [item for item in armed if mac in item.macs]

    async def take(self, order: NextBoot, address: str | None) -> NextBoot | None:
        """Use up the order for its machine, which boots now; None: it is no longer there."""
        if self._orders.get(order.id) is not order:
            return None
        return await self._end(dataclasses.replace(order, served_to=address), "served")

    def permission(
        self, order_id: str, machine: str, item: str, address: str | None, proven: bool
    ) -> NextBoot | None:
        """The served order that stands for the administrator's word, once and soon.

        It is for who got the script: the same address, or one that is ``proven`` the machine's.
        """
        found = self._orders.get(order_id)
        if found is None or found.outcome != "served":
            return None
        if not proven and found.served_to != address:
            return None
        fresh = self._clock() - self._served[order_id] < _USABLE_SECONDS
        return found if fresh and (found.machine, found.item) == (machine, item) else None

    async def use(self, order: NextBoot) -> None:
        """Use the permission up, unless another request was quicker."""
        if self._orders[order.id].outcome != "served":
            raise ServiceError("machine_busy", f"{order.machine} has used its order already.")
        await self._commit(dataclasses.replace(order, outcome="used"))

    async def forget(self, ended_before: float) -> None:
        """Drop orders that ended long ago."""
        old = ended(self.all(), ended_before)
        for item in old:
            del self._orders[item.id]
            self._served.pop(item.id, None)
        await self._db.delete(old)

    @staticmethod
    def view(item: NextBoot) -> dict[str, Any]:
        """An order as the administrator sees it."""
        shown = dataclasses.asdict(item)
        shown["macs"] = list(item.macs)
        for key in _TIMES:
            shown[key] = None if shown[key] is None else iso(shown[key])
        return shown

    async def _end(self, item: NextBoot, outcome: str) -> NextBoot:
        ended = dataclasses.replace(item, state="ended", outcome=outcome, ended_at=time.time())
        if outcome == "served":
            self._served[item.id] = self._clock()
        await self._commit(ended)
        return ended

    async def _commit(self, item: NextBoot) -> None:
        self._orders[item.id] = item
        await self._db.save(item)
