# SPDX-License-Identifier: GPL-3.0-or-later
"""Check-in: the one door of a session, and who is refused at it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .conftest import ADDRESS, HOST_KEY, Machine, Service, ticket_in

OTHER_KEY = HOST_KEY[:-8] + "AAAAAAAA"
NONCE = "n" * 32


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_first_check_in_binds_and_is_told_its_work(service: Service) -> None:
    pc = service.machine(arrived=False)
    answer = pc.check_in()
    assert answer.json()["session"] == {
        "id": pc.session,
        "machine": pc.name,
        "verb": "backup",
        "image": pc.name,
        "version": None,
        "postponable": False,
    }
    assert answer.headers["cache-control"] == "no-store"
    seen = pc.seen()
    assert (seen["state"], seen["address"], seen["host_key"]) == ("checked_in", ADDRESS, HOST_KEY)
    assert seen["hardware"] == {"cpu": "test"}
    assert pc.request("GET", "/v1/session").json()["state"] == "checked_in"


def test_second_check_in_is_refused_counted_and_reported(service: Service) -> None:
    pc = service.machine()
    assert error_of(pc.check_in("10.77.0.66", host_key=OTHER_KEY)) == (409, "already_checked_in")
    assert error_of(pc.check_in("10.77.0.66")) == (409, "already_checked_in")
    seen = pc.seen()
    assert (seen["refused_checkins"], seen["refused_from"]) == (2, "10.77.0.66")
    assert (seen["address"], seen["host_key"]) == (ADDRESS, HOST_KEY)


def test_retry_after_a_lost_answer_gets_a_new_token_and_the_old_one_dies(
    service: Service,
) -> None:
    pc = service.machine(arrived=False)
    assert pc.check_in(nonce=NONCE).status_code == 200
    lost = pc.token
    assert pc.check_in(nonce=NONCE).status_code == 200
    assert pc.token != lost
    current, pc.token = pc.token, lost
    assert error_of(pc.request("GET", "/v1/session")) == (401, "bad_token")
    pc.token = current
    assert pc.request("GET", "/v1/session").status_code == 200
    assert pc.seen()["refused_checkins"] == 0


@pytest.mark.parametrize(
    "other", [{"nonce": "m" * 32}, {"nonce": None}, {"nonce": NONCE, "host_key": OTHER_KEY}]
)
def test_a_retry_needs_the_nonce_and_the_host_key(service: Service, other: dict[str, Any]) -> None:
    pc = service.machine(arrived=False)
    pc.check_in(nonce=NONCE)
    assert error_of(pc.check_in(**other)) == (409, "already_checked_in")


def test_no_retry_once_the_token_was_used(service: Service) -> None:
    pc = service.machine(arrived=False)
    pc.check_in(nonce=NONCE)
    assert pc.request("GET", "/v1/session").status_code == 200
    assert error_of(pc.check_in(nonce=NONCE)) == (409, "already_checked_in")


def test_a_session_of_others_looks_like_none(service: Service) -> None:
    pc = service.machine(arrived=False)
    assert error_of(pc.check_in(macs=["52:54:00:ff:ff:ff"])) == (404, "no_such_session")
    assert error_of(pc.check_in(session="0" * 16)) == (404, "no_such_session")
    assert pc.seen()["state"] == "requested"
    assert pc.seen()["refused_checkins"] == 1
    assert pc.check_in().status_code == 200


def test_an_ended_session_takes_nobody(service: Service) -> None:
    pc = service.machine(arrived=False)
    service.admin.delete(f"/v1/sessions/{pc.session}")
    assert error_of(pc.check_in()) == (410, "session_ended")


def test_macs_are_compared_in_canonical_form(service: Service) -> None:
    pc = service.machine(arrived=False)
    shouted = pc.mac.upper().replace(":", "-")
    assert pc.check_in(macs=["52:54:00:ff:ff:fe", shouted]).status_code == 200


def test_address_comes_from_nginx_alone(service: Service) -> None:
    pc = service.machine(arrived=False)
    pc.check_in(address="{{ 1 }}; rm -rf /")
    assert pc.seen()["address"] is None


def test_an_ipv4_address_is_one_whatever_socket_it_came_by(service: Service) -> None:
    pc = service.machine(arrived=False)
    pc.check_in(address="::ffff:10.77.0.21")
    assert pc.seen()["address"] == "10.77.0.21"


@pytest.mark.parametrize(
    "change",
    [
        {"macs": []},
        {"macs": ["52:54:00:00:00:01"] * 17},
        {"macs": ["../../etc/passwd"]},
        {"macs": "52:54:00:00:00:01"},
        {"session": "../x"},
        {"session": "A" * 16},
        {"host_key": HOST_KEY + "\n10.0.0.1 ssh-ed25519 AAAA"},
        {"host_key": HOST_KEY + " root@pc"},
        {"host_key": "* " + HOST_KEY},
        {"host_key": "ssh-ed25519 " + "A" * 68},
        {"host_key": "ssh-rsa " + HOST_KEY.split()[1]},
        {"agent_version": "{{ 1 }}"},
        {"agent_version": ""},
        {"hardware": []},
        {"hardware": {"x": "y" * 65536}},
        {"nonce": "short"},
        {"unknown": 1},
    ],
)
def test_bad_reports_change_nothing(service: Service, change: dict[str, Any]) -> None:
    pc = service.machine(arrived=False)
    assert error_of(pc.check_in(**change)) == (422, "bad_request")
    assert pc.seen()["state"] == "requested"


@pytest.mark.parametrize(
    ("hardware", "status"),
    [
        ('{"a":' * 15 + "1" + "}" * 15, 200),
        ('{"a":' * 17 + "1" + "}" * 17, 422),
        ('{"a":' + "[" * 30000 + "]" * 30000 + "}", 400),
        ('{"a": NaN}', 422),
        ('{"a": "\\ud800"}', 422),
        ('{"a": 1e999}', 422),
        ('{"a": ' + "9" * 5000 + "}", 400),
    ],
)
def test_hardware_is_bounded_json(service: Service, hardware: str, status: int) -> None:
    pc = service.machine(arrived=False)
    body = json.dumps(pc.report(hardware="@")).replace('"@"', hardware)
    answer = service.http.post(
        "/v1/checkin", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert service.admin.get(f"/v1/sessions/{pc.session}").status_code == 200


def test_bodies_are_bounded_with_and_without_a_declared_length(service: Service) -> None:
    big = b'{"x":"' + b"y" * (1 << 20) + b'"}'
    assert error_of(service.http.post("/v1/checkin", content=big)) == (413, "too_long")
    pieces = (b"y" * 65536 for _ in range(64))
    assert error_of(service.http.post("/v1/checkin", content=pieces)) == (413, "too_long")


def test_no_json_is_said_to_be_none(service: Service) -> None:
    headers = {"Content-Type": "application/json"}
    answer = service.http.post("/v1/checkin", content=b"{", headers=headers)
    assert error_of(answer) == (400, "bad_body")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def pending(service: Service) -> Machine:
    return service.machine(arrived=False)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@example(changes={"hardware": {"\ud800": 1}})
@given(
    changes=st.dictionaries(
        st.sampled_from(["session", "macs", "host_key", "agent_version", "nonce", "x"]),
        JSON,
        min_size=1,
    )
)
def test_no_report_makes_the_service_fail(pending: Machine, changes: dict[str, Any]) -> None:
    try:
        body = json.dumps(pending.report() | changes).encode()
    except ValueError:
        return
    answer = pending.service.http.post(
        "/v1/checkin", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (200, 400, 404, 409, 422), answer.text


@pytest.mark.plays
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_ticket_outlives_the_service(own_service: Callable[..., Service], number: int) -> None:
    service = own_service()
    pc = service.machine(arrived=False)
    path = f"/boot/{pc.mac.replace(':', '-')}.ipxe"
    here = {"X-Real-IP": ADDRESS}
    first = ticket_in(service.http.get(path, headers=here).text)
    service.restart(number)
    assert pc.check_in().json()["error"] == "no_ticket"
    # It booted anew meanwhile.
    second = ticket_in(service.http.get(path, headers=here).text)
    service.restart(number)
    assert pc.check_in(ticket=first).json()["error"] == "no_ticket"
    # The address of the last script, too: nobody knows more of it here.
    assert pc.check_in("10.77.0.66", ticket=second).json()["error"] == "wrong_address"
    assert pc.check_in(ticket=second).status_code == 200
    assert pc.check_in("10.77.0.66", ticket=second).json()["error"] == "already_checked_in"
