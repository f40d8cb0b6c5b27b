# SPDX-License-Identifier: GPL-3.0-or-later
"""A card that several machines share, a dock's: UUID and serial number tell which it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from .choosing import Chooser, item
from .conftest import ADDRESS, HOST_KEY, Service, ticket_in

_numbers = itertools.count(1)


@dataclass
class Laptop(Chooser):
    """One of those that use the dock."""

    uuid: str = ""
    serial: str = ""

    @property
    def hardware(self) -> dict[str, str]:
        return {"uuid": self.uuid.upper(), "serial": self.serial}

    def fetch(self, **said: str) -> httpx.Response:
        """Its boot loader asks, and says whose card it is that it booted from."""
        said = said or {"uuid": self.uuid, "serial": self.serial}
        path = f"/boot/{self.mac.replace(':', '-')}.ipxe"
        return self.service.http.get(path, params=said, headers={"X-Real-IP": ADDRESS})

    def arrive(self, session: str, script: str) -> httpx.Response:
        report = {
            "session": session,
            "macs": [self.mac],
            "host_key": HOST_KEY,
            "agent_version": "0.1.0",
            "nonce": self.nonce,
            "hardware": self.hardware,
            "ticket": ticket_in(script),
        }
        return self.service.http.post("/v1/checkin", json=report, headers={"X-Real-IP": ADDRESS})

    def open(self) -> httpx.Response:
        return self.service.ask(machine=self.name, macs=[self.mac], verb="backup", image=self.name)

    def end(self) -> None:
        for each in self.service.admin.get("/v1/sessions").json()["sessions"]:
            if each["machine"] == self.name:
                self.service.admin.delete(f"/v1/sessions/{each['id']}")


def write(laptop: Laptop, **pin: str) -> None:
    menu = {
        "machine": laptop.name,
        "macs": [laptop.mac],
        **pin,
        "items": [item("backup", "backup", image=laptop.name)],
    }
    (laptop.service.folder / f"menus/{laptop.name}.json").write_text(json.dumps(menu))


@pytest.fixture(params=["uuid", "serial"])
def dock(own_service: Callable[..., Service], request: pytest.FixtureRequest) -> list[Laptop]:
    """Two laptops of one dock, and one that is none of its machines."""
    service = own_service()
    number = next(_numbers)
    made = []
    for place, name in enumerate(("a", "b", "stranger")):
        uuid = f"4c4c4544-00{number:02d}-10{place:02d}-8020-b7c04f202020"
        laptop = Laptop(
            service,
            f"laptop-{name}{number}",
            f"52:54:00:d0:00:{number:02x}",
            uuid=uuid,
            serial=f"SN{number}-{place}X",
        )
        if request.param == "serial":
            # As of a series whose boards all say the same.
            laptop.uuid = f"4c4c4544-00{number:02d}-1099-8020-b7c04f202020"
        if name != "stranger":
            write(laptop, **{request.param: getattr(laptop, request.param)})
        made.append(laptop)
    service.lease(made[0].mac)
    return made


def test_the_session_is_that_laptops_alone(dock: list[Laptop]) -> None:
    one, other, stranger = dock
    session = one.open().json()["id"]
    for laptop in (other, stranger):
        assert laptop.fetch().status_code == 404
    assert one.fetch(uuid="", serial="").status_code == 404, "whoever says nothing is none of them"
    script = one.fetch().text
    assert f"slipway.session={session}" in script
    for laptop in (other, stranger):
        assert laptop.arrive(session, script).json()["error"] == "another_machine"
    assert one.arrive(session, script).status_code == 200
    other.fetch()
    assert one.service.session(session)["state"] == "checked_in", "another's boot ends nothing"
    one.fetch()
    assert one.service.session(session)["outcome"] == "abandoned"


def test_each_has_a_session_of_its_own(dock: list[Laptop]) -> None:
    one, other, stranger = dock
    sessions = [laptop.open().json()["id"] for laptop in (one, other)]
    unpinned = stranger.open()
    assert (unpinned.status_code, unpinned.json()["error"]) == (409, "session_exists")
    for laptop, session in zip((other, one), reversed(sessions), strict=True):
        script = laptop.fetch().text
        assert f"slipway.session={session}" in script
        assert laptop.arrive(session, script).status_code == 200
    for laptop in (one, other):
        laptop.end()


def test_each_has_a_menu_and_an_order_of_its_own(dock: list[Laptop]) -> None:
    one, other, stranger = dock
    service = one.service
    body = {"machine": other.name, "macs": [other.mac], "item": "backup"}
    made = service.admin.post("/v1/next-boots", json=body).json()["id"]
    assert one.fetch().status_code == stranger.fetch().status_code == 404
    assert f"slipway.once={made}" in other.fetch().text
    refused = stranger.choose("backup", hardware=stranger.hardware)
    assert refused.json()["error"] == "another_machine"
    one.open()
    taken: dict[str, Any] = other.choose("backup", hardware=other.hardware).json()
    assert taken["job"]["machine"] == other.name
    busy = one.choose("backup", hardware=one.hardware)
    assert busy.json()["error"] == "machine_busy"
    one.end()
    service.admin.delete(f"/v1/jobs/{taken['job']['id']}")


def test_a_machine_with_a_card_of_its_own_may_be_pinned_too(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    laptop = Laptop(
        service, "pinned", "52:54:00:d1:00:01", uuid="4c4c4544-0001-1099-8020-b7c04f202021"
    )
    write(laptop, uuid=laptop.uuid)
    service.lease(laptop.mac)
    session = laptop.open().json()["id"]
    assert laptop.fetch(uuid="4c4c4544-0001-1099-8020-b7c04f202022").status_code == 404
    assert f"slipway.session={session}" in laptop.fetch().text
    laptop.end()
