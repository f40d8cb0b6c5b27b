# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC whose user chooses an item of its menu, and a job runner, as tests play them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx

from .conftest import ADDRESS, HOST_KEY, Service

_numbers = itertools.count(1)
PASSWORD = "open, sesame"


def password_hash(password: str = PASSWORD, n: int = 16) -> str:
    """A hash that costs nothing to check."""
    salt = b"saltsalt"
    digest = hashlib.scrypt(password.encode(), salt=salt, n=n, r=8, p=1, dklen=32)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("scrypt", str(n), "8", "1", *parts))


def item(identifier: str, action: str, **more: Any) -> dict[str, Any]:
    """An item as boot_menu writes it."""
    empty = {"title": identifier, "image": None, "images": None, "password_hash": None}
    return {"id": identifier, "action": action} | empty | more


@dataclass
class Chooser:
    """A PC in the imaging environment."""

    service: Service
    name: str
    mac: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    token: str = ""

    def body(self, wanted: str, **more: Any) -> dict[str, Any]:
        """What it sends."""
        return {
            "macs": [self.mac],
            "item": wanted,
            "nonce": self.nonce,
            "host_key": HOST_KEY,
            "agent_version": "0.1.0",
            **more,
        }

    def choose(self, wanted: str, **more: Any) -> httpx.Response:
        """Ask for an item, and keep the token if one is given."""
        answer = self.service.http.post(
            "/v1/choices", json=self.body(wanted, **more), headers={"X-Real-IP": ADDRESS}
        )
        if answer.status_code == 201:
            self.token = answer.json()["token"]
        return answer

    def look(self) -> dict[str, Any]:
        """How its job is."""
        answer = self.service.http.get(
            "/v1/choices/current", headers={"Authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def check_in(self, session: str, address: str = ADDRESS, **changes: Any) -> httpx.Response:
        """Check in for the session that its job got."""
        report = {
            "session": session,
            "macs": [self.mac],
            "host_key": HOST_KEY,
            "agent_version": "0.1.0",
            "nonce": self.nonce,
        }
        return self.service.http.post(
            "/v1/checkin", json=report | changes, headers={"X-Real-IP": address}
        )

    def boot(self) -> httpx.Response:
        """What its boot loader gets."""
        return self.service.http.get(
            f"/boot/{self.mac.replace(':', '-')}.ipxe", headers={"X-Real-IP": ADDRESS}
        )


def write_menu(
    service: Service, name: str, macs: list[str], items: list[dict[str, Any]], **more: Any
) -> None:
    """Write a menu as the role does: in one step."""
    folder = service.folder / "menus"
    new = folder / f".{name}.new"
    new.write_text(json.dumps({"machine": name, "macs": macs, "items": items} | more))
    new.rename(folder / f"{name}.json")


def make_chooser(service: Service, *items: dict[str, Any], **more: Any) -> Chooser:
    """A PC with a menu; one that backs up unless told otherwise."""
    number = next(_numbers)
    name = f"chooser{number}"
    mac = f"52:54:00:c0:{number >> 8:02x}:{number & 255:02x}"
    write_menu(service, name, [mac], list(items) or [item("backup", "backup", image=name)], **more)
    return Chooser(service, name, mac)


def order(service: Service, machine: str, verb: str = "backup", **more: Any) -> httpx.Response:
    """Order a job as root does."""
    return service.admin.post("/v1/jobs", json={"machine": machine, "verb": verb, **more})


@dataclass
class Runner:
    """The job runner's side of the conversation."""

    service: Service
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    holds: list[str] = field(default_factory=list)

    def poll(self, free: int = 1, wait: float = 0, keep: bool = True) -> dict[str, Any]:
        """Ask for work; what is given is held unless the answer is lost."""
        asked = {"runner": self.id, "holds": self.holds, "free": free, "wait": wait}
        answer = self.service.runner.post("/v1/jobs/poll", json=asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if keep:
            self.holds += [job["id"] for job in found["begin"]]
        return found

    def open_session(self, job: dict[str, Any], **changes: Any) -> httpx.Response:
        """Open the session of a job, as its playbook does."""
        image, _, version = (job["image"] or "").partition("@")
        wanted = {
            "machine": job["machine"],
            "macs": job["macs"],
            "verb": job["verb"],
            "image": image,
            "version": version or None,
            "job": job["id"],
        }
        return self.service.runner.post("/v1/sessions", json=wanted | changes)

    def end(self, job: str, outcome: str = "done", **words: str) -> dict[str, Any]:
        """Say how it ended."""
        answer = self.service.runner.post(f"/v1/jobs/{job}/end", json={"outcome": outcome} | words)
        assert answer.status_code == 200, answer.text
        self.holds = [each for each in self.holds if each != job]
        found: dict[str, Any] = answer.json()
        return found
