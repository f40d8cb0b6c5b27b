# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an address is that of a machine's own card.

Whoever asks for a machine's session must ask from the machine's address. In the server's own
networks the neighbour table says whose that is; behind a router, the lease that dnsmasq gave to the
card, or the address that the inventory fixed. Where nothing says it, the configuration decides.

A host that takes a machine's MAC address as its own, or answers ARP or DHCP for it, is taken for
it here: the README of the role says what is left to him then.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..base.threads import Run
from .leases import Leases
from .neighbours import place_of


@dataclass(frozen=True)
class Verdict:
    """What is known of an address. ``proven`` None: nobody knows whose it is."""

    proven: bool | None
    why: str
    # The card that was seen at that address, if any.
    card: str | None = None


class Addresses:
    """Made once, for everybody who asks."""

    def __init__(
        self,
        run: Run,
        fixed: Callable[[frozenset[str]], str | None],
        lease_file: Path | None,
        policy: str,
    ) -> None:
        """``fixed`` is the inventory's address for cards; it may block."""
        self._run = run
        self._fixed = fixed
        self._leases = Leases(lease_file)
        self.accepts_unknown = policy == "accept"

    async def judge(self, macs: Iterable[str], address: str | None) -> Verdict:
        """Say whether one of these cards has the address."""
        cards = frozenset(macs)
        if address is None:
            return Verdict(None, "the web server did not say where from")
        place = place_of(ipaddress.ip_address(address))
        if place is None:
            return Verdict(None, "from this server itself, or from no network that it knows")
        if place.card is not None:
            return _seen(place.card, cards, "its card is")
        if place.near:
            return Verdict(None, "the server does not know its card")
        return await self._run(lambda: self._behind_a_router(cards, address))

    async def known(self, macs: Iterable[str]) -> list[str]:
        """Where these cards may be: what the inventory fixed, then their leases."""
        cards = frozenset(macs)
        return await self._run(lambda: self._known(cards))

    def _known(self, cards: frozenset[str]) -> list[str]:
        fixed = self._fixed(cards)
        return list(dict.fromkeys([*([fixed] if fixed else []), *self._leases.addresses_of(cards)]))

    def believes(self, verdict: Verdict) -> bool:
        """Whether that is enough: what is another's never is."""
        return self.accepts_unknown if verdict.proven is None else verdict.proven

    def _behind_a_router(self, cards: frozenset[str], address: str) -> Verdict:
        leased = self._leases.card_of(address)
        if leased is not None:
            return _seen(leased, cards, "behind a router; its lease is of")
        if address == self._fixed(cards):
            return Verdict(True, "behind a router; the inventory fixed its address")
        return Verdict(None, "behind a router, with neither a lease nor a machine_ip")


def _seen(card: str, cards: frozenset[str], how: str) -> Verdict:
    return Verdict(card in cards, f"{how} {card}", card)
