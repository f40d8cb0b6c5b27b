# SPDX-License-Identifier: GPL-3.0-or-later
"""What this PC's user chose in the menu, told to the server, and what the server makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import __version__
from slipway.engine.errors import CheckinRefused
from slipway.net.answer import Refused, text_of
from slipway.net.boot import boot_word
from slipway.net.facts import MAX_MACS, hardware, host_key_of, wired_macs
from slipway.net.site import Site

# The caller decides how long to wait: the client would try again on its own.
_OWN_MATTER = frozenset({429})
_POLL_TIMEOUT = 10.0


@dataclass(frozen=True)
class Wish:
    """What stands on the kernel's command line: the item, and an administrator's order if any."""

    item: str
    once: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A no. Some can be helped with a password, a picked image or a pause."""

    error: str
    message: str
    remedy: str
    images: tuple[str, ...] = ()
    wait_seconds: float = 0.0


@dataclass(frozen=True)
class JobStatus:
    """How the job is that came of the choice."""

    machine: str
    action: str
    title: str
    image: str
    state: str
    outcome: str
    message: str
    remedy: str
    place: int
    runner: bool
    session: str

    @classmethod
    def read(cls, value: dict[str, Any]) -> JobStatus:
        """Take what the server says; ValueError when it is no job."""
        text_of(value, "state")
        texts = {
            name: str(value.get(name) or "")
            for name, kind in cls.__annotations__.items()
            if kind == "str"
        }
        return cls(**texts, place=int(value.get("place") or 0), runner=bool(value.get("runner")))


def wish(command_line: str) -> Wish:
    """The item that the boot script named on the kernel's command line."""
    item = boot_word(command_line, "slipway.item")
    if not item:
        raise CheckinRefused(
            "this machine was not started from a menu's item", "choose one in the machine's menu"
        )
    return Wish(item, boot_word(command_line, "slipway.once") or None)


class Desk:
    """Where choices are made: one PC, one item, one nonce for the whole boot."""

    def __init__(self, site: Site, wanted: Wish, nonce: str, root: Path = Path("/")) -> None:
        """The SSH host key must be there."""
        self._site = site
        self._body: dict[str, Any] = {
            "macs": wired_macs(root)[:MAX_MACS],
            "item": wanted.item,
            "nonce": nonce,
            "host_key": host_key_of(root),
            "hardware": hardware(root),
            "agent_version": __version__,
            **({"once": wanted.once} if wanted.once else {}),
        }
        self._client = site.client()

    def choose(self, password: str | None, image: str | None) -> JobStatus | Refusal:
        """Ask once. StoreUnreachable when there is no answer: then ask again."""
        body = self._body | {"password": password, "image": image}
        try:
            token, job = self._client.ask("POST", "/v1/choices", _granted, body, final=_OWN_MATTER)
        except Refused as no:
            return _refusal(no)
        self._client = self._site.client(token)
        return job

    def look(self) -> JobStatus | Refusal:
        """How the job is; asking is also the sign that this PC is still there."""
        try:
            return self._client.ask(
                "GET", "/v1/choices/current", JobStatus.read, timeout=_POLL_TIMEOUT
            )
        except Refused as no:
            return _refusal(no)


def _granted(reply: dict[str, Any]) -> tuple[str, JobStatus]:
    return text_of(reply, "token"), JobStatus.read(reply["job"])


def _refusal(no: Refused) -> Refusal:
    reply = no.reply
    images = reply.get("images")
    wait = reply.get("wait_seconds")
    return Refusal(
        error=str(reply["error"]),
        message=str(reply["message"]),
        remedy=str(reply.get("remedy") or "look at the service's log"),
        images=tuple(str(_object(each).get("image")) for each in images)
        if isinstance(images, list)
        else (),
        wait_seconds=float(wait) if isinstance(wait, int | float) else 0.0,
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
