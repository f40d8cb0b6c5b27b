# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration: a PC that nobody knows tells the server what it is, and waits for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import __version__
from slipway.engine.devices import clean
from slipway.engine.errors import CheckinRefused, StoreUnreachable
from slipway.net.answer import Refused, text_of
from slipway.net.client import Client
from slipway.net.facts import MAX_MACS, hardware
from slipway.net.site import Site

WAITING, APPROVED, REFUSED = "waiting", "approved", "refused"
# The server takes 16 KiB altogether.
_MAX_DISKS, _MAX_CARDS = 32, 16
_CONFLICT, _FORBIDDEN, _UNAUTHORIZED = 409, 403, 401


@dataclass(frozen=True)
class Standing:
    """What the server says about a registration."""

    state: str
    name: str = ""
    machine: str = ""
    reason: str = ""
    waiting: int = 0


class Registration:
    """One PC's place in the server's queue."""

    def __init__(self, site: Site, nonce: str, root: Path = Path("/")) -> None:
        """Look at the PC once; the `nonce` is this boot's."""
        facts = hardware(root)
        facts["disks"] = facts["disks"][:_MAX_DISKS]
        facts["cards"] = facts["cards"][:_MAX_CARDS]
        macs = [card["mac"] for card in facts["cards"]][:MAX_MACS]
        if not macs:
            raise CheckinRefused(
                "this PC has no wired network card", "see whether its card needs another driver"
            )
        self.facts = facts
        self._site = site
        self._body = {
            "macs": macs,
            "hardware": facts,
            "agent_version": __version__,
            "nonce": nonce,
        }
        self._client: Client | None = None

    def report(self, name: str = "") -> Standing:
        """Ask to be registered, under this name if one was typed; once, without patience."""
        body = self._body | ({"name": name} if name else {})
        try:
            token, standing = self._site.client().ask(
                "POST", "/v1/registrations", _registered, body
            )
        except Refused as no:
            if no.status == _FORBIDDEN:
                return Standing(REFUSED, reason=_message(no))
            if no.status == _CONFLICT:
                # Also a PC that was switched off a moment ago: its place is kept for a minute.
                raise StoreUnreachable(_message(no), "wait a minute") from no
            raise CheckinRefused(
                f"the server refused the registration: {_message(no)}",
                "check that server and site overlay are of the same version",
            ) from no
        self._client = self._site.client(token)
        return standing

    def standing(self) -> Standing | None:
        """How it stands; None when the server does not know this PC any more."""
        if self._client is None:
            return None
        try:
            return self._client.ask("GET", "/v1/registrations/current", _standing)
        except Refused as no:
            if no.status == _UNAUTHORIZED:
                return None
            raise StoreUnreachable(_message(no)) from no


def _registered(reply: dict[str, Any]) -> tuple[str, Standing]:
    return text_of(reply, "token"), _standing(reply["registration"])


def _standing(found: dict[str, Any]) -> Standing:
    if found["state"] not in (WAITING, APPROVED, REFUSED):
        raise ValueError(f"{found['state']} is no state of a registration")
    words = {key: clean(str(found.get(key) or "")) for key in ("name", "machine", "reason")}
    waiting = found.get("waiting")
    return Standing(found["state"], **words, waiting=waiting if isinstance(waiting, int) else 0)


def _message(no: Refused) -> str:
    return clean(str(no.reply["message"]))
