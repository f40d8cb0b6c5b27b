# SPDX-License-Identifier: GPL-3.0-or-later
"""Who comes for what is asked of a machine: the machine itself, as far as that can be told.

A host that is not it learns nothing here and changes nothing: it gets what it would get if nothing
were asked of the machine, and the administrator is told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..base.config import Config
from ..base.errors import ServiceError
from ..jobs.next_boots import NextBoot, NextBoots
from ..network.addresses import Addresses, Verdict
from ..network.strangers import Strangers, Wanted
from ..registrations.identities import Identities
from ..registrations.registration import ANOTHER, Identity, compare, identity, may_be
from . import boot_script
from .session import CheckIn, Proof, Session, wrong_address
from .sessions import Sessions

log = logging.getLogger(__name__)

OrderScript = Callable[[NextBoot, str, str | None], Awaitable[str | None]]

PinOf = Callable[[str], Awaitable[Identity | None]]
_Asked = TypeVar("_Asked", Session, NextBoot)

# What the administrator is told of a refused check-in; empty: what is known of its address.
_REFUSED = {
    "wrong_address": "",
    "no_ticket": "it did not show the ticket of the boot script that was sent last",
    "another_machine": "its UUID or serial number is another PC's; if the machine got a new "
    "mainboard, run identity_forget.yml",
}


@dataclass(frozen=True)
class Report:
    """What a machine says when it checks in."""

    session: str
    macs: tuple[str, ...]
    host_key: str
    agent_version: str
    hardware: dict[str, Any]
    nonce: str | None
    ticket: str | None


class Arrivals:
    """Runs in the event loop."""

    def __init__(
        self,
        config: Config,
        sessions: Sessions,
        next_boots: NextBoots,
        identities: Identities,
        addresses: Addresses,
        strangers: Strangers,
        order_script: OrderScript,
        pin_of: PinOf,
    ) -> None:
        """``order_script`` uses an order up and returns what the machine boots, by its card.

        ``pin_of`` is what the inventory says of a machine's UUID and serial number.
        """
        self._config = config
        self._sessions = sessions
        self._next_boots = next_boots
        self._identities = identities
        self._addresses = addresses
        self._strangers = strangers
        self._order_script = order_script
        self._pin_of = pin_of

    async def boot_script(
        self, mac: str, address: str | None, hardware: Mapping[str, str]
    ) -> str | None:
        """The script for a booting card: a pending session's, or, once, that of an order.

        ``hardware`` is what its boot loader says of the PC, ``uuid`` and ``serial``: a dock's card
        is of several machines.
        """
        said = identity((mac,), hardware)
        await self._end_of_who_boots_anew(mac, address, said)
        item = await self._meant(self._sessions.pending(mac), said)
        if item is not None:
            if not await self._is_there(item.macs, address, _session(item)):
                return None
            ticket = await self._sessions.boot(item.id, address)
            if ticket is not None:
                return boot_script.render(self._config, item.id, ticket)
        order = await self._meant(self._next_boots.waiting(mac), said)
        if order is None:
            return None
        wanted = Wanted("next_boot", order.id, order.machine)
        if not await self._is_there(order.macs, address, wanted):
            return None
        return await self._order_script(order, mac, address)

    async def _meant(self, found: Sequence[_Asked], said: Identity) -> _Asked | None:
        """What is asked of the one machine that the PC may be, by the inventory."""
        for each in found:
            if may_be(await self._pin_of(each.machine), said):
                return each
        return None

    async def _end_of_who_boots_anew(self, mac: str, address: str | None, said: Identity) -> None:
        """A machine whose firmware boots has left its session: nobody need wait for its silence.

        Only who is shown to be the machine can say that.
        """
        item = await self._meant(self._sessions.arrived(mac), said)
        if item is not None and (await self._addresses.judge(item.macs, address)).proven:
            await self._sessions.end(item.id, "abandoned")
            log.warning("session %s of %s: it boots anew", item.id, item.machine)

    async def pending(
        self, macs: list[str], nonce: str | None, host_key: str | None, address: str | None
    ) -> Session | None:
        """The session that waits for a machine that stayed on.

        It shows that it is the environment that had the machine's last session.
        """
        for item in self._sessions.pending(*macs):
            verdict = await self._addresses.judge(item.macs, address)
            if self._stayed(item.machine, nonce, host_key, address, verdict):
                return item
            self._strangers.note(_session(item), address, verdict)
        return None

    async def check_in(self, report: Report, address: str | None) -> tuple[Session, str]:
        """Bind a session to its machine; return it with the token, which is kept nowhere."""
        before = self._sessions.get(report.session)
        macs = report.macs
        verdict = await self._addresses.judge(before.macs, address)
        proof = Proof(
            address=verdict.proven,
            why=verdict.why,
            accepts_unknown=self._addresses.accepts_unknown,
            card=verdict.card,
            stayed=self._stayed(before.machine, report.nonce, report.host_key, address, verdict),
            identity=await self._compared(before.machine, identity(macs, report.hardware)),
        )
        try:
            item, token = await self._sessions.check_in(
                report.session,
                CheckIn(
                    macs=macs,
                    host_key=report.host_key,
                    agent_version=report.agent_version,
                    address=address,
                    proof=proof,
                    hardware=report.hardware,
                    nonce=report.nonce,
                    ticket=report.ticket,
                ),
            )
        except ServiceError as error:
            if error.error in _REFUSED:
                why = _REFUSED[error.error] or verdict.why
                self._strangers.note(_session(before), address, replace(verdict, why=why))
            raise
        # Only who is known to be the machine says what the machine is from now on.
        if verdict.proven is not None or proof.stayed:
            await self._identities.saw(
                item.machine, macs, report.hardware, confirmed=item.job is None
            )
        return item, token

    async def _compared(self, machine: str, said: Identity) -> str:
        """How what a PC says compares with what its machine was, and with the inventory."""
        if not may_be(await self._pin_of(machine), said):
            return ANOTHER
        return compare(self._identities.of(machine), said)

    async def register(self, macs: list[str], address: str | None) -> None:
        """Refuse a PC whose address is known to be another card's than those it names.

        So nobody near fills the queue with cards that he has not. Where nobody knows, it may ask.
        """
        verdict = await self._addresses.judge(macs, address)
        if verdict.proven is False:
            self._strangers.note(Wanted("registration", "", ""), address, verdict)
            raise wrong_address(address, verdict.why)

    def _stayed(
        self,
        machine: str,
        nonce: str | None,
        host_key: str | None,
        address: str | None,
        verdict: Verdict,
    ) -> bool:
        """Whether this is the environment that had the machine's last session, and where it was.

        Its secrets alone are not enough: who once took a machine's address would keep them.
        """
        last = self._sessions.last_of(machine, nonce, host_key)
        return last is not None and (verdict.proven is not False or last.address == address)

    async def _is_there(self, macs: tuple[str, ...], address: str | None, wanted: Wanted) -> bool:
        """Whether who asks is at an address of these cards; if not, that is noted."""
        verdict: Verdict = await self._addresses.judge(macs, address)
        if self._addresses.believes(verdict):
            return True
        self._strangers.note(wanted, address, verdict)
        return False


def _session(item: Session) -> Wanted:
    return Wanted("session", item.id, item.machine)
