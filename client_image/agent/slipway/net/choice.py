"""What this PC's user chose in the menu, told to the server, and what the server makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import __version__
from slipway.engine.errors import CheckinRefused, StoreUnreachable
from slipway.net.checkin import (
    MAX_MACS,
    Site,
    boot_word,
    hardware,
    host_key_of,
    wired_macs,
)
from slipway.net.client import Client

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
        """Take what the server says."""
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
        self._client = Client(site.server, site.ca, patience=0)
        self._token = ""

    def choose(self, password: str | None, image: str | None) -> JobStatus | Refusal:
        """Ask once. StoreUnreachable when there is no answer: then ask again."""
        body = self._body | {"password": password, "image": image}
        answer = self._client.request("POST", "/v1/choices", body, final=_OWN_MATTER)
        reply = answer.json()
        if not answer.ok:
            return _refusal(answer.status, reply)
        self._token = str(reply.get("token", ""))
        self._client = Client(self._site.server, self._site.ca, self._token, patience=0)
        return JobStatus.read(_object(reply.get("job")))

    def look(self) -> JobStatus | Refusal:
        """How the job is; asking is also the sign that this PC is still there."""
        answer = self._client.request("GET", "/v1/choices/current", timeout=_POLL_TIMEOUT)
        reply = answer.json()
        if answer.ok and not reply:
            raise StoreUnreachable(f"{self._site.server} answered something else")
        return JobStatus.read(reply) if answer.ok else _refusal(answer.status, reply)


def _refusal(status: int, reply: dict[str, Any]) -> Refusal:
    images = reply.get("images")
    wait = reply.get("wait_seconds")
    return Refusal(
        error=str(reply.get("error") or "refused"),
        message=str(reply.get("message") or f"the server answered {status}"),
        remedy=str(reply.get("remedy") or "look at the service's log"),
        images=tuple(str(_object(each).get("image")) for each in images)
        if isinstance(images, list)
        else (),
        wait_seconds=float(wait) if isinstance(wait, int | float) else 0.0,
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
