# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration: who may ask, what is kept of it, and that no stranger disturbs anybody."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from slipway_server.base.config import ConfigError, from_mapping
from slipway_server.base.errors import ServiceError
from slipway_server.base.names import is_pattern
from slipway_server.base.rows import Rows
from slipway_server.base.state_file import StateFile
from slipway_server.registrations.registration import suggest, useful_serial, useful_uuid
from slipway_server.registrations.registrations import (
    MOST_OF_ONE_ADDRESS,
    SILENT_SECONDS,
    Registrations,
)

from .conftest import Service

UUID = "4c4c4544-0042-3510-8052-b4c04f564433"
LIMIT = 20


def hardware(**changes: Any) -> dict[str, Any]:
    return {
        "vendor": "Acme",
        "model": "PC 3000",
        "serial": "S-4711",
        "uuid": UUID,
        "cpu": "Chip",
        "cpu_count": 4,
        "memory": 1 << 33,
        "firmware": "uefi",
        "disks": [{"path": "/dev/sda", "size": 1 << 40, "serial": "D1", "wwn": "", "model": "M"}],
        "cards": [{"mac": "52:54:00:99:00:01", "driver": "e1000e", "device": "8086:10d3"}],
    } | changes


def report(number: int = 1, **changes: Any) -> dict[str, Any]:
    """What the PC with that number says."""
    return {
        "macs": [f"52:54:00:99:{number >> 8 & 255:02x}:{number & 255:02x}"],
        "hardware": hardware(serial=f"S-{number}"),
        "agent_version": "0.1.0",
        "nonce": f"{number:022}",
    } | changes


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that is not easily tired, with a short queue."""
    made = Service(
        tmp_path_factory.mktemp("busy"), registration_limit=LIMIT, registrations_per_second=10**6
    )
    yield made.start()
    made.close()


def ask(service: Service, body: Any, address: str = "10.77.0.100") -> httpx.Response:
    return service.http.post("/v1/registrations", json=body, headers={"X-Real-IP": address})


def listed(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.admin.get("/v1/registrations").json()["registrations"]
    return found


def own(service: Service, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return service.http.get("/v1/registrations/current", headers=headers)


def decide(service: Service, key: str, verb: str, **body: Any) -> httpx.Response:
    return service.admin.post(f"/v1/registrations/{key}/{verb}", json=body)


def test_a_pc_asks_waits_and_is_told(own_service: Callable[..., Service]) -> None:
    service = own_service()
    answer = ask(service, report())
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    token, told = answer.json()["token"], answer.json()["registration"]
    assert (told["name"], told["state"], told["waiting"]) == ("pc-s-1", "waiting", 1)
    assert own(service, token).json() == told
    (seen,) = listed(service)
    assert (seen["uuid"], seen["serial"], seen["address"]) == (UUID, "S-1", "10.77.0.100")
    assert seen["hardware"] == hardware(serial="S-1")
    assert not any("hash" in key or "token" in key for key in seen)
    # The same boot asks again, with a name that somebody typed: one place in the queue.
    answer = ask(service, report(name="pc9"))
    assert own(service, token).status_code == 401
    token = answer.json()["token"]
    assert [(item["id"], item["name"]) for item in listed(service)] == [(told["id"], "pc9")]

    service.restart()
    assert decide(service, told["id"], "approve", machine="pc3").json()["state"] == "approved"
    assert decide(service, told["id"], "approve", machine="pc3").status_code == 200
    for verb, body in [("approve", {"machine": "pc4"}), ("refuse", {})]:
        assert decide(service, told["id"], verb, **body).json()["error"] == "already_decided"
    assert own(service, token).json()["machine"] == "pc3"
    assert decide(service, "nosuch", "refuse").status_code == 404


def test_refused_for_a_reason_and_approved_all_the_same(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    token = ask(service, report()).json()["token"]
    key = listed(service)[0]["id"]
    decide(service, key, "refuse", reason="not ours")
    assert own(service, token).json() | {"id": ""} == {
        "id": "",
        "name": "pc-s-1",
        "state": "refused",
        "machine": None,
        "reason": "not ours",
        "waiting": 0,
    }
    # It is started again.
    answer = ask(service, report(nonce="x" * 22))
    assert (answer.status_code, answer.json()["error"]) == (403, "registration_refused")
    assert "not ours" in answer.json()["message"]
    assert decide(service, key, "approve", machine="pc3").json()["state"] == "approved"


def test_who_is_approved_is_known_at_the_first_session(own_service: Callable[..., Service]) -> None:
    service = own_service()
    said = report()
    ask(service, said)
    decide(service, listed(service)[0]["id"], "approve", machine="pc3")
    pc = service.machine(arrived=False, machine="pc3", mac=said["macs"][0])
    assert pc.check_in(hardware=hardware(serial="S-2")).json()["error"] == "another_machine"
    assert pc.check_in(hardware=said["hardware"]).status_code == 200
    assert pc.seen()["identity"] == "known"


def test_a_check_in_is_remembered(own_service: Callable[..., Service]) -> None:
    service = own_service()
    machine = service.machine(arrived=False)
    service.lease(machine.mac)
    machine.check_in(hardware=hardware(uuid="0" * 8 + UUID[8:].upper(), serial="None"))
    service.restart()
    assert service.admin.get("/v1/identities").json()["identities"] == [
        {
            "machine": machine.name,
            "macs": [machine.mac],
            "uuid": "0" * 8 + UUID[8:],
            "serial": None,
            "confirmed": True,
        }
    ]


# --- rules, with a clock of their own -------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """The queue without HTTP, and without disk unless told."""

    def __init__(self, folder: Path, limit: int = LIMIT, per_second: int = 10**6) -> None:
        self.clock = Clock()
        self.state = StateFile(folder)
        self.rows = Rows(self.state, "registrations")
        self.all = Registrations(self.rows, limit, "pc-{serial}", per_second, self.clock)

    def ask(self, number: int, address: str = "", **changes: Any) -> tuple[Any, str]:
        body = {"name": None, "address": address or f"10.0.{number >> 8}.{number & 255}"}
        body |= report(number, **changes)
        return asyncio.run(self.all.report(**body | {"macs": tuple(body["macs"])}))

    def refused(self, number: int, **changes: Any) -> str:
        with pytest.raises(ServiceError) as refusal:
            self.ask(number, **changes)
        assert refusal.value.remedy
        return refusal.value.error


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path)
    yield made
    made.state.close()


def test_nobody_takes_the_place_of_a_pc_that_waits(queue: Queue) -> None:
    first, token = queue.ask(1)
    assert queue.refused(1, nonce="m" * 22, address="10.0.0.66") == "mac_taken"
    seen = queue.all.get(first.id)
    assert (seen.refused_reports, seen.refused_from) == (1, "10.0.0.66")
    queue.clock.now += SILENT_SECONDS - 1
    queue.all.own(token)
    queue.clock.now += SILENT_SECONDS - 1
    assert queue.refused(1, nonce="m" * 22) == "mac_taken"
    # Switched off and on: a new boot has a new nonce, and gets an entry of its own.
    queue.clock.now += 2
    second, _ = queue.ask(1, nonce="m" * 22)
    assert second.id != first.id
    assert [item.id for item in queue.all.all()] == [second.id]
    with pytest.raises(ServiceError):
        queue.all.own(token)


def test_one_address_has_few_places(queue: Queue) -> None:
    for number in range(MOST_OF_ONE_ADDRESS):
        queue.ask(number, address="10.0.0.5")
    assert queue.refused(100, address="10.0.0.5") == "queue_full"
    queue.ask(101)
    queue.clock.now += SILENT_SECONDS + 1
    queue.ask(102, address="10.0.0.5")
    assert len(queue.all.all()) == MOST_OF_ONE_ADDRESS + 1
    for number in range(200, 200 + MOST_OF_ONE_ADDRESS):
        queue.ask(number, address=f"2001:db8::{number}")
    assert queue.refused(300, address="2001:db8::1:1") == "queue_full"


def test_a_full_queue_keeps_who_came_back_to_ask(queue: Queue) -> None:
    _, token = queue.ask(0)
    queue.all.own(token)
    for number in range(1, LIMIT):
        queue.ask(number)
    assert queue.refused(500) == "queue_full"
    queue.clock.now += SILENT_SECONDS + 1
    for number in range(500, 600):
        queue.ask(number)
        queue.clock.now += SILENT_SECONDS / 2
    assert len(queue.all.all()) == LIMIT
    assert queue.all.own(token).name == "pc-s-0"
    for item in queue.all.all():
        queue.all._polled.add(item.id)
    queue.clock.now += SILENT_SECONDS + 1
    assert queue.refused(700) == "queue_full"
    # A decision makes room.
    asyncio.run(queue.all.refuse(queue.all.all()[3].id, ""))
    queue.ask(700)
    assert len(queue.all.all()) == LIMIT


def test_few_a_second(tmp_path: Path) -> None:
    queue = Queue(tmp_path, limit=1000, per_second=5)
    for number in range(60):
        queue.ask(number)
    assert queue.refused(60) == "too_many"
    queue.clock.now += 0.2
    queue.ask(60)
    assert queue.refused(61) == "too_many"
    queue.state.close()


def test_the_queue_forgets(queue: Queue) -> None:
    _, refused, approved = (queue.ask(number)[0].id for number in range(3))
    asyncio.run(queue.all.refuse(refused, ""))
    asyncio.run(queue.all.approve(approved, "pc3"))
    asyncio.run(queue.all.sweep(100))
    assert len(queue.all.all()) == 3
    queue.clock.now += 60
    later = queue.ask(4)[0].id
    asyncio.run(queue.all.refuse(later, ""))
    queue.clock.now += 41
    asyncio.run(queue.all.sweep(100))
    assert {item.id for item in queue.all.all()} == {later, approved}
    assert set(queue.rows.load()) == {later, approved}
    queue.clock.now += 3600
    asyncio.run(queue.all.sweep(100))
    assert queue.all.all() == []
    assert refused not in queue.all._decided


@pytest.mark.parametrize("jump", [-(10**9), 10**9])
def test_a_decision_does_not_age_by_a_clock_that_is_set(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    refused = queue.ask(1)[0].id
    asyncio.run(queue.all.refuse(refused, ""))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    asyncio.run(queue.all.sweep(100))
    assert [item.id for item in queue.all.all()] == [refused]
    queue.clock.now += 101
    asyncio.run(queue.all.sweep(100))
    assert queue.all.all() == []


# --- identity and names ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "Not Settable",
        "{{ 7 * 7 }}",
        "fefefefe-fefe-fefe-fefe-fefefefefefe",
        None,
    ],
)
def test_uuids_that_identify_nobody(text: object) -> None:
    assert useful_uuid(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0000 0000", "To be filled by O.E.M.", "Default string", "XXXX", None]
)
def test_serials_that_identify_nobody(text: object) -> None:
    assert useful_serial(text) is None


def test_those_that_do() -> None:
    assert useful_uuid(f" {UUID.upper()}\n") == UUID
    assert useful_serial(" 5CG 1234 ") == "5CG 1234"


@given(st.text(max_size=200), st.text(max_size=200))
@example("To be filled by O.E.M.", "")
@example("-", "-" * 100)
@example("localhost", "")
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_every_suggestion_is_a_name(serial: str, model: str) -> None:
    said = {"serial": serial, "model": model, "uuid": UUID}
    for pattern in ("{serial}", "pc-{serial}", "{model}-{mac}", "a" * 60 + "{uuid}"):
        name = suggest(pattern, ("52:54:00:99:00:01",), said, set())
        second = suggest(pattern, ("52:54:00:99:00:02",), said, {name})
        assert is_pattern(name) and is_pattern(second) and name != second


def test_patterns() -> None:
    base = {"address": "10.0.0.1", "store_dir": "/s", "state_dir": "/t"}
    assert from_mapping(base | {"registration_name": "room3-{mac}"})
    for bad in ("", "{serial", "PC{serial}", "{name}", "{serial.__class__}", "../{mac}", "all"):
        with pytest.raises(ConfigError):
            from_mapping(base | {"registration_name": bad})


# --- bad input ------------------------------------------------------------------------------

HOSTILE = [
    "{{ lookup('ansible.builtin.pipe', 'touch /tmp/canary') }}",
    "{% for x in () %}",
    "!unsafe x",
    "$(touch /tmp/canary)",
    "`touch /tmp/canary`",
    "; touch /tmp/canary #",
    "${net0/mac}",
    "#!ipxe",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "../../etc/passwd",
    "x" * 1_000_000,
    "\x00",
    "\x1b[2J",
    "\n",
    "\u202e",
    "\ud800",
    "a\ud800b",
    "\U0001f600",
    "\ufffe",
    "",
    " ",
]
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(HOSTILE[:11] + HOSTILE[12:]),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.lists(st.sampled_from(HOSTILE[:5]), max_size=3),
    st.dictionaries(st.sampled_from(HOSTILE[12:]), st.integers(), max_size=2),
)
_FIELDS = ["macs", "name", "hardware", "agent_version", "nonce", "more"]
_PARTS = [*hardware(), "more", "\ud800"]


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """A good body with something bad at one or two places."""
    body = report(draw(st.integers(0, 300)))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(["top", "hardware", "disks", "cards", "all"]))
        if place == "all":
            return draw(_VALUES)
        value = draw(_VALUES)
        if place == "top":
            body[draw(st.sampled_from([*_FIELDS, "\ud800"]))] = value
        elif isinstance(body.get("hardware"), dict):
            part = body["hardware"]
            match part.get(place):
                case [dict() as entry]:
                    entry[draw(st.sampled_from(["path", "size", "mac", "\ud800"]))] = value
                case _:
                    part[draw(st.sampled_from(_PARTS))] = value
    return body


@pytest.mark.fuzz
@given(bodies())
@settings(suppress_health_check=list(HealthCheck))
def test_no_body_is_a_fault_of_the_service(busy: Service, body: Any) -> None:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = busy.http.post(
        "/v1/registrations", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code < 500, answer.text
    assert len(listed(busy)) <= LIMIT


@pytest.mark.fuzz
@given(st.binary(max_size=500), st.sampled_from(["application/json", "text/plain", "x"]))
@settings(suppress_health_check=list(HealthCheck))
def test_no_bytes_are(busy: Service, content: bytes, kind: str) -> None:
    answer = busy.http.post("/v1/registrations", content=content, headers={"Content-Type": kind})
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_data_or_refused(busy: Service, text: str) -> None:
    for field in ("vendor", "model", "serial", "uuid", "cpu"):
        content = json.dumps(report(1, hardware=hardware(**{field: text})))
        answer = busy.http.post(
            "/v1/registrations",
            content=content,
            headers={"Content-Type": "application/json", "X-Real-IP": "10.1.1.1"},
        )
        if not text.isprintable() or len(text) > 128:
            # One that is longer than the whole report may be is not even read.
            assert answer.status_code == (413 if len(text) > 1 << 17 else 422), text[:200]
            assert text[:20] not in answer.text or not text.strip()
            continue
        assert answer.status_code == 201
        key = answer.json()["registration"]["id"]
        (seen,) = (item for item in listed(busy) if item["id"] == key)
        assert seen["hardware"][field] == text
    for body in (report(name=text), report(agent_version=text), report(macs=[text])):
        content = json.dumps(body)
        answer = busy.http.post(
            "/v1/registrations", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == (413 if len(text) > 1 << 17 else 422)


def test_all_fields_at_their_longest_are_too_much(busy: Service) -> None:
    disk = {"path": "x" * 128, "size": 1, "serial": "x" * 128, "wwn": "x" * 128, "model": "x" * 128}
    answer = ask(busy, report(hardware=hardware(disks=[disk] * 64)))
    assert answer.status_code == 422
    assert "16384" in answer.json()["message"]


@pytest.mark.parametrize("mac", ["ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "01:00:5e:00:00:01"])
def test_macs_that_no_card_has(busy: Service, mac: str) -> None:
    assert ask(busy, report(macs=[mac])).status_code == 422


@pytest.mark.fuzz
def test_a_flood_neither_fills_the_disk_nor_disturbs_anybody(
    own_service: Callable[..., Service],
) -> None:
    """`make fuzz` sends ten thousand; the default is enough to fill every limit."""
    service = own_service()
    machine = service.machine()
    waiting = ask(service, report(1)).json()["token"]
    assert own(service, waiting).status_code == 200
    count = min(10_000, int(os.environ.get("SLIPWAY_FUZZ", "1500")))

    def send(number: int) -> int:
        body = report(number + 2, hardware=hardware(cpu="x" * 128, model="y" * 128))
        return ask(service, body, f"10.{number % 7}.{number >> 8 & 255}.{number & 255}").status_code

    with ThreadPoolExecutor(4) as threads:
        codes = list(threads.map(send, range(count)))
    assert set(codes) <= {201, 429}
    assert codes.count(429) > count / 2
    assert len(listed(service)) <= 500
    assert sum(file.stat().st_size for file in service.state.rglob("*")) < 40 << 20
    assert own(service, waiting).json()["state"] == "waiting"
    assert machine.request("GET", "/v1/session").status_code == 200
