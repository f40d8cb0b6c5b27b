# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions as the administrator runs them, and the tokens that live and die with them."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from slipway_server.base.records import Records
from slipway_server.base.state_file import StateFile
from slipway_server.sessions.session import Session
from slipway_server.sessions.sessions import Sessions

from .conftest import ADDRESS, HOST_KEY, Service, cell, ticket_in

BAD_NAMES = ["../x", "-oProxyCommand=x", "{{ 1 }}", "all", "localhost", "", "A", "a" * 64, "a\n"]


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("bad", BAD_NAMES)
@pytest.mark.parametrize("field", ["machine", "image", "version"])
def test_names_that_attack_are_refused(service: Service, field: str, bad: str) -> None:
    wanted = {"machine": "x", "macs": ["52:54:00:ee:00:01"], "verb": "restore", "image": "x"}
    assert error_of(service.ask(**(wanted | {field: bad}))) == (422, "bad_request")


@pytest.mark.parametrize(
    "change",
    [
        {"macs": []},
        {"macs": ["52:54:00:ee:00"]},
        {"verb": "format"},
        {"image": None},
        {"ttl_seconds": 0},
        {"version": "20260101T000000Z"},
    ],
)
def test_requests_that_make_no_sense_are_refused(service: Service, change: dict[str, Any]) -> None:
    wanted = {"machine": "x", "macs": ["52:54:00:ee:00:02"], "verb": "backup", "image": "x"}
    assert error_of(service.ask(**(wanted | change))) == (422, "bad_request")


def test_one_session_for_a_machine_and_for_a_mac(service: Service) -> None:
    pc = service.machine(arrived=False)
    wanted = {"verb": "backup", "image": "x"}
    second = service.ask(machine=pc.name, macs=["52:54:00:ee:00:03"], **wanted)
    assert error_of(second) == (409, "session_exists")
    assert pc.session in second.json()["message"]
    assert "session_end.yml" in second.json()["remedy"]
    other = service.ask(machine="other", macs=["52:54:00:ee:00:04", pc.mac], **wanted)
    assert error_of(other) == (409, "session_exists")
    assert other.json()["session"] == pc.session
    service.admin.delete(f"/v1/sessions/{pc.session}")
    assert service.ask(machine=pc.name, macs=[pc.mac], **wanted).status_code == 201


def test_restore_names_what_there_is(service: Service) -> None:
    name, version = service.image(cell("what there is"))
    macs = ["52:54:00:ee:00:05"]
    unknown = service.ask(machine="r", macs=macs, verb="restore", image="nope")
    assert error_of(unknown) == (404, "unknown_image")
    assert "Images on this server" in unknown.json()["message"]
    wanted = {"machine": "r", "macs": macs, "verb": "restore", "image": name}
    old = service.ask(**wanted, version="19990101T000000Z")
    assert error_of(old) == (404, "unknown_version")
    assert version in old.json()["message"]
    made = service.ask(**wanted).json()
    assert made["version"] == version
    assert service.session(made["id"], wait=10, until="image_checked")["image_check"] == {
        "state": "sound",
        "bytes_done": made_bytes(service),
        "bytes_total": made_bytes(service),
        "problems": [],
        "problem_count": 0,
    }
    service.admin.delete(f"/v1/sessions/{made['id']}")


def made_bytes(service: Service) -> int:
    return service.chunk_path(cell("what there is")).stat().st_size


def test_a_machine_that_is_on_is_told_of_its_pending_session(service: Service) -> None:
    other, nonce = "52:54:00:ee:00:66", "n" * 32
    last = service.machine(arrived=False)
    assert last.check_in(nonce=nonce).status_code == 200
    service.admin.delete(f"/v1/sessions/{last.session}")
    pc = service.machine(arrived=False, machine=last.name, mac=last.mac)

    def pending(*macs: str, **more: str) -> Any:
        asks = {"macs": macs, "nonce": nonce, "host_key": HOST_KEY} | more
        return service.http.post("/v1/pending", json=asks).json()["session"]

    assert pending(other, pc.mac) == pc.session
    assert pending(other) is None
    for else_ in ({"nonce": "m" * 32}, {"host_key": HOST_KEY[:-8] + "AAAAAAAA"}):
        assert pending(pc.mac, **else_) is None, "another environment"
    assert service.http.post("/v1/pending", json={"macs": [pc.mac]}).json() == {"session": None}
    assert len(pc.seen()["strangers"]) == 1
    assert pc.check_in(nonce=nonce).status_code == 200
    assert pending(pc.mac) is None
    assert service.http.post("/v1/pending", json={"macs": []}).status_code == 422


def test_the_boot_script_is_handed_out_while_the_session_is_pending(service: Service) -> None:
    pc = service.machine(arrived=False)
    path = f"/boot/{pc.mac.replace(':', '-')}.ipxe"
    script = service.http.get(path, headers={"X-Real-IP": ADDRESS}).text
    assert script.splitlines() == [
        "#!ipxe",
        f"set slwwish slipway.session={pc.session} slipway.ticket={ticket_in(script)}",
        "chain --replace http://10.77.0.1/environment.ipxe",
    ]
    assert pc.seen()["boot_script_served"] == 1
    assert error_of(pc.check_in()) == (403, "no_ticket")
    assert pc.check_in(ticket=ticket_in(script)).status_code == 200
    assert error_of(service.http.get(path)) == (404, "no_boot_script")
    for bad in ("x", "52-54-00-77-00-0G", "%2e%2e%2fx", "52-54-00-77-00-01%0a"):
        assert error_of(service.http.get(f"/boot/{bad}.ipxe"))[0] == 404


def test_tokens_are_refused_when_wrong_missing_or_dead(service: Service) -> None:
    pc = service.machine()
    token = pc.token
    for header in ({}, {"Authorization": "Bearer nope"}, {"Authorization": f"Basic {token}"}):
        answer = service.http.get("/v1/session", headers=header)
        assert error_of(answer) == (401, "bad_token")
        assert answer.headers["www-authenticate"] == "Bearer"
    service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    assert error_of(pc.request("GET", "/v1/session")) == (410, "session_ended")
    assert error_of(pc.request("PUT", "/v1/chunks/" + "0" * 64)) == (410, "session_ended")


def test_a_token_is_good_for_its_verb_and_image_alone(service: Service) -> None:
    content = cell("another machine's")
    name, version = service.image(content)
    backup, restore = service.machine(), service.machine("restore", image=name)
    digest = service.chunk_path(content).name
    assert restore.request("GET", f"/v1/chunks/{digest}").status_code == 200
    assert restore.request("GET", f"/v1/images/{name}/{version}").status_code == 200
    refused = [
        (restore.request("PUT", f"/v1/chunks/{digest}", content=b"x"), "wrong_verb"),
        (restore.request("POST", "/v1/chunks/query", json={"digests": []}), "wrong_verb"),
        (restore.publish(content, name=name), "wrong_verb"),
        (backup.request("GET", f"/v1/chunks/{digest}"), "wrong_verb"),
        (backup.request("GET", f"/v1/images/{name}/{version}"), "wrong_verb"),
        (backup.publish(content, name=name), "wrong_image"),
        (restore.request("GET", f"/v1/images/{backup.name}/{version}"), "wrong_image"),
        (restore.request("GET", f"/v1/images/{name}/19990101T000000Z"), "wrong_image"),
        (restore.request("GET", "/v1/chunks/" + "0" * 64), "wrong_image"),
    ]
    assert [error_of(answer) for answer, _ in refused] == [(403, error) for _, error in refused]
    assert backup.request("GET", "/v1/images").json() == {"images": []}
    listed = restore.request("GET", "/v1/images").json()["images"]
    assert [item["name"] for item in listed] == [name]


def test_progress_and_result_reach_the_administrator(service: Service) -> None:
    pc = service.machine()
    record = {"type": "progress", "phase": "backup", "done": 1, "total": 2}
    assert pc.request("POST", "/v1/session/progress", json=record).json() == {}
    assert pc.request("POST", "/v1/session/heartbeat", json={}).json() == {}
    assert pc.request("POST", "/v1/session/result", json={"type": "result"}).json() == {}
    seen = pc.seen()
    assert (seen["progress"], seen["result"]) == (record, {"type": "result"})
    big = {"type": "progress", "x": "y" * (16 << 10)}
    answer = pc.request("POST", "/v1/session/progress", json=big)
    assert error_of(answer) == (422, "bad_request")


def test_waiting_ends_when_the_state_is_reached(service: Service) -> None:
    pc = service.machine(arrived=False)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(service.session, pc.session, wait=20, until="checked_in")
        time.sleep(0.2)
        assert not waiter.done()
        pc.check_in()
        assert waiter.result(2)["state"] == "checked_in"
    begun = time.monotonic()
    assert service.session(pc.session, wait=0.3, until="ended")["state"] == "checked_in"
    assert 0.25 < time.monotonic() - begun < 2
    assert service.admin.get(f"/v1/sessions/{pc.session}?wait=26").status_code == 422


def test_time_ends_sessions(own_service: Callable[..., Service]) -> None:
    service = own_service(silent_seconds=1)
    late = service.machine(arrived=False, ttl_seconds=1)
    silent = service.machine()
    assert service.session(late.session, wait=5)["outcome"] == "expired"
    assert service.session(silent.session, wait=5)["outcome"] == "abandoned"
    assert error_of(late.check_in()) == (410, "session_ended")
    assert error_of(silent.request("GET", "/v1/session")) == (410, "session_ended")


def test_a_machine_that_took_long_to_boot_is_not_silent(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(silent_seconds=2)
    pc = service.machine(arrived=False)
    time.sleep(2.2)
    assert pc.check_in().status_code == 200
    assert service.session(pc.session, wait=1, until="ended")["state"] == "checked_in"
    assert service.session(pc.session, wait=5)["outcome"] == "abandoned"


def test_a_session_at_work_outlasts_a_broken_line(own_service: Callable[..., Service]) -> None:
    service = own_service(silent_seconds=1)
    pc = service.machine()
    record = {"type": "progress", "phase": "backup", "done": 1, "total": 2}
    assert pc.request("POST", "/v1/session/progress", json=record).status_code == 200
    assert service.session(pc.session, wait=3, until="ended")["state"] == "checked_in"
    done = {"type": "result", "verb": "backup"}
    assert pc.request("POST", "/v1/session/result", json=done).status_code == 200
    assert service.session(pc.session, wait=5)["outcome"] == "abandoned"


@pytest.mark.plays
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_sessions_and_tokens_survive_a_restart(
    own_service: Callable[..., Service], number: int
) -> None:
    service = own_service()
    pc, pending = service.machine(), service.machine(arrived=False)
    pc.request("POST", "/v1/session/result", json={"type": "result"})
    with sqlite3.connect(service.state / "state.sqlite3") as db:
        assert pc.token not in str(db.execute("SELECT * FROM sessions").fetchall())
    service.restart(number)
    assert pc.request("GET", "/v1/session").json()["machine"] == pc.name
    seen = pc.seen()
    assert (seen["host_key"], seen["result"]) == (HOST_KEY, {"type": "result"})
    assert error_of(pc.check_in()) == (409, "already_checked_in")
    assert pending.check_in().status_code == 200
    again = service.ask(machine=pc.name, macs=[pc.mac], verb="backup", image="x")
    assert error_of(again) == (409, "session_exists")


def test_a_stop_answers_those_who_wait(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = service.machine(arrived=False)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(service.session, pc.session, wait=20)
        time.sleep(0.2)
        begun = time.monotonic()
        assert service.stop() == 0
        assert waiter.result(5)["state"] == "requested"
    assert time.monotonic() - begun < 5


def test_status_and_lists(service: Service) -> None:
    service.machine(arrived=False)
    status = service.admin.get("/v1/status").json()
    assert status["sessions"]["requested"] >= 1
    assert 0 < status["store_free"] <= status["store_total"]
    pending = service.admin.get("/v1/sessions", params={"state": "requested"}).json()["sessions"]
    assert {item["state"] for item in pending} == {"requested"}
    assert error_of(service.admin.get("/v1/sessions/nope")) == (404, "no_such_session")
    assert error_of(service.admin.delete("/v1/sessions/nope")) == (404, "no_such_session")
    assert error_of(service.http.get("/v1/sessions")) == (404, "no_such_route")
    assert error_of(service.http.get("/v1/checkin")) == (405, "wrong_method")


def test_a_wait_for_the_end_of_a_job(service: Service) -> None:
    """The first last word of a job stands, and another job of the session begins anew."""
    pc = service.machine()

    def say(kind: str, **record: Any) -> None:
        assert pc.request("POST", f"/v1/session/{kind}", json=record).status_code == 200

    def look(wait: float = 0) -> dict[str, Any]:
        return service.session(pc.session, wait=wait, until="finished")

    say("progress", type="progress", job="a", done=1)
    assert look()["result"] is None
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(look, 25)
        say("result", type="result", job="a", changed=True)
        seen = waiting.result()
    assert (seen["result"], seen["state"]) == (
        {"type": "result", "job": "a", "changed": True},
        "checked_in",
    )
    say("result", type="killed", job="a")
    say("progress", type="progress", job="a", done=2)
    assert look(25)["result"]["type"] == "result"
    say("progress", type="progress", job="b", done=0)
    assert look()["result"] is None
    say("result", type="killed", job="b")
    assert look()["result"]["type"] == "killed"
    service.admin.delete(f"/v1/sessions/{pc.session}")
    assert look(25)["state"] == "ended"


def test_who_looks_from_a_thread_what_goes_on_is_not_disturbed_by_what_begins(
    tmp_path: Path,
) -> None:
    """Collecting and reading the store ask in threads, while sessions come and go."""
    state = StateFile(tmp_path)
    sessions = Sessions(Records(state, Session, "sessions"))
    looked, problems, over = 0, list[str](), threading.Event()

    def look() -> None:
        nonlocal looked
        while not over.is_set():
            try:
                sessions.begins_of_backups()
                sessions.readers()
                looked += 1
            except RuntimeError as error:
                problems.append(str(error))

    async def live() -> None:
        for number in range(400):
            mac = f"52:54:00:01:{number >> 8:02x}:{number & 255:02x}"
            verb = "restore" if number % 2 else "backup"
            made = await sessions.create(f"pc{number}", (mac,), verb, "pc", None, 600)
            if number % 4 == 0:
                await sessions.end(made.id, "cancelled")
        await sessions.forget(time.time() + 1)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        asyncio.run(live())
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
        state.close()
    assert looked > 100
    assert problems == []
