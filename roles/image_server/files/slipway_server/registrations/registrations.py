# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of PCs that ask to be registered.

The queue is what strangers may fill, so everything about it is bounded: how many wait, how many
of one address, how often somebody may ask at all. A PC that waits and is heard of keeps its place
whatever others do.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..base import tokens
from ..base.errors import ServiceError
from ..base.rows import Rows
from ..base.times import iso
from .registration import Registration, suggest

# A PC asks every few seconds how its registration stands.
SILENT_SECONDS = 60.0
MOST_OF_ONE_ADDRESS = 8
# How many seconds' worth of requests may come at once: a class room is switched on.
_BURST_SECONDS = 12
_APPROVED_SECONDS = 3600.0


class Registrations:
    """Runs in the event loop; every change is on disk before its answer."""

    def __init__(
        self,
        rows: Rows,
        limit: int,
        pattern: str,
        per_second: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the queue; who was in it before a restart counts as heard of just now."""
        self._rows = rows
        self._limit = limit
        self._pattern = pattern
        self._per_second = per_second
        self._clock = clock
        self._queue = {key: _from_body(body) for key, body in rows.load().items()}
        self._by_token = {item.token_hash: key for key, item in self._queue.items()}
        self._heard = dict.fromkeys(self._queue, clock())
        wall = time.time()
        # When each was decided, by the clock that nobody sets.
        self._decided = {
            key: clock() - max(0.0, wall - item.decided_at)
            for key, item in self._queue.items()
            if item.decided_at is not None
        }
        # Those that came back to ask. Of a flood, most never do.
        self._polled = set(self._queue)
        self._budget, self._budget_at = float(per_second * _BURST_SECONDS), clock()

    def all(self) -> list[Registration]:
        """The queue, oldest first."""
        return list(self._queue.values())

    def get(self, key: str) -> Registration:
        """One registration by its id."""
        found = self._queue.get(key)
        if found is None:
            raise ServiceError("no_such_registration", "There is no such registration.")
        return found

    async def report(
        self,
        macs: tuple[str, ...],
        name: str | None,
        hardware: Mapping[str, Any],
        agent_version: str,
        nonce: str,
        address: str | None,
    ) -> tuple[Registration, str]:
        """Put a PC into the queue, or renew what it said before; return it with a new token."""
        self._spend()
        before = self._same_boot(macs, nonce)
        replaced = self._replaced(macs, before, address)
        if before is None:
            replaced += self._make_room(address, replaced)
        token = tokens.new_token()
        drop = {*replaced} - {before.id if before else ""}
        taken = {item.name for key, item in self._queue.items() if key not in {*replaced}}
        made = Registration(
            id=before.id if before else secrets.token_hex(8),
            macs=macs,
            name=name or suggest(self._pattern, macs, hardware, taken),
            hardware=hardware,
            address=address,
            agent_version=agent_version,
            created=before.created if before else time.time(),
            nonce_hash=tokens.digest_of(nonce),
            token_hash=tokens.digest_of(token),
        )
        if before is not None:
            kept = ["state", "machine", "reason", "decided_at", "refused_reports", "refused_from"]
            if (macs, hardware) == (before.macs, before.hardware):
                # Otherwise it is not what somebody has looked at.
                kept += ["wish", "wished_by"]
            made = dataclasses.replace(made, **{key: getattr(before, key) for key in kept})
            self._by_token.pop(before.token_hash, None)
        self._forget(drop)
        await self._keep(made, drop)
        self._heard[made.id] = self._clock()
        return made, token

    def own(self, token: str) -> Registration:
        """The registration that a token belongs to, noted as heard of just now."""
        found = self._queue.get(self._by_token.get(tokens.digest_of(token), ""))
        if found is None or not tokens.matches(token, found.token_hash):
            raise ServiceError(
                "bad_token", "The token is not valid on this server.", "Register again."
            )
        self._heard[found.id] = self._clock()
        self._polled.add(found.id)
        return found

    async def approve(self, key: str, machine: str) -> Registration:
        """Let a PC in as a machine; who approves again as the same machine changes nothing."""
        found = self.get(key)
        if found.state == "approved" and found.machine != machine:
            raise ServiceError(
                "already_decided", f"The registration was approved as {found.machine}."
            )
        if found.state == "approved":
            return found
        return await self._decide(found, state="approved", machine=machine, reason=None)

    async def wish(self, key: str, machine: str, by: str) -> Registration:
        """Note what somebody wants a PC that waits to be; nothing else changes yet."""
        found = self.get(key)
        if found.state != "waiting":
            raise ServiceError("already_decided", f"The registration is {found.state} already.")
        wished = dataclasses.replace(found, wish=machine, wished_by=by)
        await self._keep(wished)
        return wished

    async def refuse(self, key: str, reason: str) -> Registration:
        """Send a PC away. It may be approved all the same later."""
        found = self.get(key)
        if found.state == "approved":
            raise ServiceError(
                "already_decided",
                f"The registration was approved as {found.machine}.",
                f"Remove the machine {found.machine} from the inventory instead.",
            )
        if found.state == "refused" and found.reason == reason:
            return found
        return await self._decide(found, state="refused", machine=None, reason=reason)

    async def sweep(self, keep_seconds: float) -> None:
        """Forget who was told, and who has not been heard of for days."""
        now = self._clock()
        over = [
            key
            for key, item in self._queue.items()
            if (item.state == "waiting" and now - self._heard[key] > keep_seconds)
            or (item.state == "refused" and now - self._decided[key] > keep_seconds)
            or (item.state == "approved" and now - self._decided[key] > _APPROVED_SECONDS)
        ]
        if over:
            self._forget({*over})
            await self._rows.drop(over)

    def last_heard(self, item: Registration) -> float:
        """When the PC last asked, in seconds since the epoch."""
        return max(item.created, time.time() - (self._clock() - self._heard[item.id]))

    def view(self, item: Registration) -> dict[str, Any]:
        """A registration as the administrator sees it."""
        shown = dataclasses.asdict(item) | dataclasses.asdict(item.identity)
        for secret in ("nonce_hash", "token_hash", "decided_at"):
            del shown[secret]
        shown["created"], shown["last_heard"] = iso(item.created), iso(self.last_heard(item))
        return shown

    def own_view(self, item: Registration) -> dict[str, Any]:
        """A registration as its PC sees it."""
        shown = {key: getattr(item, key) for key in ("id", "name", "state", "machine", "reason")}
        return shown | {"waiting": sum(each.state == "waiting" for each in self._queue.values())}

    def _spend(self) -> None:
        now, most = self._clock(), float(self._per_second * _BURST_SECONDS)
        earned = (now - self._budget_at) * self._per_second
        self._budget, self._budget_at = min(most, self._budget + earned), now
        if self._budget < 1:
            raise ServiceError("too_many", "Too many PCs ask to be registered at this moment.")
        self._budget -= 1

    def _same_boot(self, macs: tuple[str, ...], nonce: str) -> Registration | None:
        for item in self._queue.values():
            if {*item.macs} & {*macs} and tokens.matches(nonce, item.nonce_hash):
                return item
        return None

    def _replaced(
        self, macs: tuple[str, ...], before: Registration | None, address: str | None
    ) -> list[str]:
        """Earlier registrations with these MACs. Nobody takes the place of one that waits."""
        others = [
            item for item in self._queue.values() if item is not before and {*item.macs} & {*macs}
        ]
        for item in others:
            if item.state == "refused":
                raise ServiceError(
                    "registration_refused",
                    f"The administrator has refused this PC{_because(item.reason)}.",
                )
            if item.state == "waiting" and not self._is_silent(item):
                self._queue[item.id] = dataclasses.replace(
                    item, refused_reports=item.refused_reports + 1, refused_from=address
                )
                mac = min({*item.macs} & {*macs})
                raise ServiceError(
                    "mac_taken", f"Another PC with the MAC address {mac} waits already."
                )
        return [item.id for item in others]

    def _make_room(self, address: str | None, leaving: list[str]) -> list[str]:
        """Those that give way to one more. Only who never came back to ask does."""
        left = [item for key, item in self._queue.items() if key not in {*leaving}]
        gone = []
        here = [item for item in left if _place(item.address) == _place(address)]
        here = [item for item in here if item.state == "waiting"]
        if len(here) >= MOST_OF_ONE_ADDRESS:
            gone.append(self._least(here, f"{MOST_OF_ONE_ADDRESS} PCs of one address wait already"))
        if len(left) - len(gone) >= self._limit:
            decided = [item for item in left if item.state != "waiting"]
            others = [item for item in left if item.id not in gone]
            full = f"{self._limit} PCs wait already"
            gone.append(
                min(decided, key=lambda item: self._decided[item.id]).id
                if decided
                else self._least(others, full)
            )
        return gone

    def _least(self, items: list[Registration], full: str) -> str:
        idle = [item for item in items if item.id not in self._polled and self._is_silent(item)]
        if not idle:
            raise ServiceError("queue_full", f"{full}: this one was not added.")
        return min(idle, key=lambda item: self._heard[item.id]).id

    def _is_silent(self, item: Registration) -> bool:
        return self._clock() - self._heard[item.id] > SILENT_SECONDS

    async def _decide(self, item: Registration, **changes: Any) -> Registration:
        decided = dataclasses.replace(item, decided_at=time.time(), **changes)
        self._decided[item.id] = self._clock()
        await self._keep(decided)
        return decided

    async def _keep(
        self, item: Registration, drop: set[str] | frozenset[str] = frozenset()
    ) -> None:
        before = self._queue.get(item.id)
        self._queue[item.id] = item
        self._by_token[item.token_hash] = item.id
        self._heard.setdefault(item.id, self._clock())
        try:
            await self._rows.put(item.id, dataclasses.asdict(item), drop)
        except BaseException:
            if before is None:
                self._forget({item.id})
            else:
                self._queue[item.id] = before
            raise

    def _forget(self, keys: set[str]) -> None:
        for key in keys:
            item = self._queue.pop(key, None)
            if item is not None:
                self._by_token.pop(item.token_hash, None)
            self._heard.pop(key, None)
            self._decided.pop(key, None)
            self._polled.discard(key)


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _place(address: str | None) -> str:
    """What one stranger can't have many of: an IPv4 address, an IPv6 network."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    return (
        str(found)
        if found.version == 4
        else str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    )


def _from_body(body: dict[str, Any]) -> Registration:
    known = {item.name for item in dataclasses.fields(Registration)}
    body = {key: value for key, value in body.items() if key in known}
    return Registration(**{**body, "macs": tuple(body["macs"])})
