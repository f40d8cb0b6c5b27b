# SPDX-License-Identifier: GPL-3.0-or-later
"""Choices that PCs' users make, and the jobs that come of them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from slipway_server.choices.passwords import PasswordHash, pause_after

from .choosing import PASSWORD, Runner, item, make_chooser, password_hash, write_menu
from .conftest import HOST_KEY, Service, cell

OTHER_KEY = HOST_KEY[:-4] + "AAA="


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_a_choice_from_the_queue_to_its_end(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    answer = pc.choose("backup")
    assert answer.status_code == 201, answer.text
    assert pc.token not in (service.state / "state.sqlite3").read_bytes().decode("latin-1")
    job = answer.json()["job"]
    assert (job["state"], job["place"], job["runner"], job["session"]) == ("queued", 1, False, None)

    [given] = runner.poll()["begin"]
    assert (given["machine"], given["verb"], given["image"]) == (pc.name, "backup", pc.name)
    seen = pc.look()
    assert (seen["state"], seen["place"], seen["runner"]) == ("running", 0, True)

    opened = runner.open_session(given)
    assert opened.status_code == 201, opened.text
    session = opened.json()["id"]
    assert pc.look()["session"] == session
    assert pc.boot().status_code == 404, "its machine is there already: no boot may repeat it"
    stranger = pc.check_in(session, host_key=OTHER_KEY)
    assert error_of(stranger) == (409, "already_checked_in")
    assert pc.check_in(session).status_code == 200

    assert runner.end(job["id"], message="3 MB sent")["outcome"] == "done"
    seen = pc.look()
    assert (seen["state"], seen["outcome"], seen["message"]) == ("ended", "done", "3 MB sent")
    assert service.session(session)["outcome"] == "cancelled", "an open session ends with its job"
    assert pc.choose("backup").status_code == 201, "the next one is free to begin"


def test_only_what_stands_in_the_machines_own_menu(service: Service) -> None:
    pc, other = make_chooser(service), make_chooser(service, item("wipe", "restore", image="x"))
    assert error_of(pc.choose("wipe")) == (403, "no_such_item")
    assert error_of(pc.choose("Backup")) == (422, "bad_request")
    assert error_of(pc.choose("backup", macs=["52:54:00:ff:ff:ff"])) == (404, "unknown_machine")
    both = pc.choose("backup", macs=[pc.mac, other.mac])
    assert error_of(both) == (409, "machine_unclear")


def test_a_second_pc_with_the_same_mac_gets_nothing(service: Service) -> None:
    pc = make_chooser(service)
    assert pc.choose("backup").status_code == 201
    rogue = pc.choose("backup", nonce="r" * 32)
    assert error_of(rogue) == (409, "machine_busy")
    assert "token" not in rogue.json()
    # The first one lost its answer: the same nonce and key, so it gets its own job again.
    first = pc.token
    again = pc.choose("backup")
    assert again.status_code == 201
    assert again.json()["job"]["id"] == rogue.json()["job"]
    assert pc.token != first
    assert error_of(pc.choose("backup", host_key=OTHER_KEY)) == (409, "machine_busy")
    service.admin.delete(f"/v1/jobs/{again.json()['job']['id']}")


def test_a_pc_with_a_copied_mac_is_recognised(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    service.lease(pc.mac)
    own = {"uuid": "b9a6e3a0-93f4-4c43-9a55-0c1b7a0de001", "serial": "SLW-1"}
    pc.choose("backup", hardware=own)
    runner.poll(free=64)
    for each in list(runner.holds):
        runner.end(each)
    for other in ({}, own | {"serial": "SLW-2"}, {"uuid": own["uuid"].replace("b9", "c9")}):
        assert error_of(pc.choose("backup", hardware=other, nonce="r" * 32)) == (
            403,
            "another_machine",
        )
    # The administrator has looked at the machine with its new mainboard.
    session = service.ask(machine=pc.name, macs=[pc.mac], verb="verify", image="none")
    assert session.status_code == 404
    session = service.ask(machine=pc.name, macs=[pc.mac], verb="service").json()["id"]
    answer = pc.check_in(session, hardware=own | {"serial": "SLW-2"})
    assert error_of(answer) == (403, "another_machine")
    assert "identity_forget.yml" in answer.json()["remedy"]
    [gone] = service.admin.delete(f"/v1/identities/{pc.name}").json()["identities"]
    assert (gone["serial"], gone["confirmed"]) == ("SLW-1", False)
    assert service.admin.delete(f"/v1/identities/{pc.name}").json() == {"identities": []}
    assert pc.check_in(session, hardware=own | {"serial": "SLW-2"}).status_code == 200
    service.admin.delete(f"/v1/sessions/{session}")
    taken = pc.choose("backup", hardware=own | {"serial": "SLW-2"})
    assert taken.status_code == 201, taken.text
    service.admin.delete(f"/v1/jobs/{taken.json()['job']['id']}")


def test_a_machine_with_a_session_is_busy(service: Service) -> None:
    pc = make_chooser(service)
    session = service.ask(machine=pc.name, macs=[pc.mac], verb="backup", image="x").json()
    busy = pc.choose("backup")
    assert error_of(busy) == (409, "machine_busy")
    service.admin.delete(f"/v1/sessions/{session['id']}")


def test_an_image_that_was_deleted_starts_nothing(service: Service) -> None:
    items = [item("gone", "restore", image="gone"), item("list", "restore", images=["no", "nope"])]
    pc = make_chooser(service, *items)
    assert error_of(pc.choose("gone")) == (404, "unknown_image")
    assert error_of(pc.choose("list")) == (404, "unknown_image")
    name, version = service.image(cell("deleted later"))
    write_menu(service, pc.name, [pc.mac], [item("old", "restore", image=f"{name}@{version}")])
    assert pc.choose("old").status_code == 201
    (service.store / "images" / name / f"{version}.json").unlink()
    runner = Runner(service)
    given = {each["machine"]: each for each in runner.poll(free=64)["begin"]}[pc.name]
    refused = runner.open_session(given)
    assert error_of(refused) == (404, "unknown_image")
    for job in list(runner.holds):
        runner.end(job, "failed")


def test_a_list_to_pick_from(service: Service) -> None:
    name, version = service.image(cell("to pick"))
    other, _ = service.image(cell("not offered"))
    pc = make_chooser(service, item("pick", "restore", images=[name, f"{name}@{version}", "gone"]))
    asked = pc.choose("pick")
    assert error_of(asked) == (409, "image_required")
    offered = asked.json()["images"]
    assert [each["image"] for each in offered] == [name, f"{name}@{version}"]
    assert offered[0]["newest"] == version
    assert error_of(pc.choose("pick", image=other)) == (403, "not_offered")
    assert error_of(pc.choose("pick", image="../x")) == (422, "bad_request")
    assert error_of(pc.choose("pick", image="gone")) == (404, "unknown_image")
    taken = pc.choose("pick", image=name)
    assert taken.status_code == 201
    assert taken.json()["job"]["image"] == name
    service.admin.delete(f"/v1/jobs/{taken.json()['job']['id']}")


def test_a_rescue_shell_is_granted_at_once(service: Service) -> None:
    shell = item("shell", "rescue_shell", password_hash=password_hash())
    pc = make_chooser(service, shell)
    assert error_of(pc.choose("shell")) == (401, "password_required")
    job = pc.choose("shell", password=PASSWORD).json()["job"]
    assert (job["action"], job["state"], job["outcome"]) == ("rescue_shell", "ended", "done")
    listed = service.admin.get(f"/v1/jobs/{job['id']}").json()
    assert listed["address"] == "10.77.0.21"


@pytest.mark.plays
def test_a_thousand_guesses(service: Service) -> None:
    pc = make_chooser(service, item("b", "backup", image="x", password_hash=password_hash()))
    other = make_chooser(service, item("b", "backup", image="y", password_hash=password_hash()))
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda number: pc.choose("b", password=f"guess {number}"), range(1000))
        )
    kinds = [answer.json()["error"] for answer in answers]
    assert kinds.count("wrong_password") < 20, "each guess must wait for its turn"
    assert kinds.count("wrong_password") + kinds.count("too_many_tries") == 1000
    # On a slow machine the last pause may be over by now: begin one that is long enough to see.
    while (guess := pc.choose("b", password="one more").json())["wait_seconds"] < 2:
        time.sleep(guess["wait_seconds"])
    late = pc.choose("b", password=PASSWORD)
    assert error_of(late) == (429, "too_many_tries")
    assert late.json()["wait_seconds"] > 0
    assert other.choose("b", password=PASSWORD).status_code == 201, "other PCs must not suffer"
    assert service.admin.get("/v1/status").elapsed.total_seconds() < 5


def test_the_pause_grows_and_ends() -> None:
    assert [pause_after(count) for count in (0, 1, 3, 4, 5, 8)] == [0, 1, 1, 2, 4, 32]
    assert pause_after(1000) == 900


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "scrypt$16$8$1$c2FsdHNhbHQ=",
        "scrypt$17$8$1$c2FsdHNhbHQ=$" + "QUFB" * 10,
        "scrypt$1048576$8$1$c2FsdHNhbHQ=$" + "QUFB" * 10,
        "md5$16$8$1$c2FsdHNhbHQ=$" + "QUFB" * 10,
        "scrypt$16$8$99$c2FsdHNhbHQ=$" + "QUFB" * 10,
        "scrypt$16$8$1$QQ==$" + "QUFB" * 10,
        7,
    ],
)
def test_a_hash_that_costs_too_much_or_is_none(text: object) -> None:
    with pytest.raises(ValueError):
        PasswordHash.parse(text)


def test_broken_menus_cost_only_their_own_machine(service: Service) -> None:
    pc = make_chooser(service)
    folder = service.folder / "menus"
    broken: dict[str, bytes] = {
        "empty": b"",
        "list": b"[]",
        "half": b'{"machine": "half", "macs": ["52:',
        "binary": bytes(range(256)),
        "deep": b"[" * 100_000,
        "huge": b" " * (1 << 20),
        "number": b'{"machine": 7, "macs": [], "items": []}',
        "another": json.dumps({"machine": pc.name, "macs": [pc.mac], "items": []}).encode(),
        "action": json.dumps(
            {"machine": "action", "macs": [pc.mac], "items": [item("x", "format")]}
        ).encode(),
        "path": json.dumps(
            {
                "machine": "path",
                "macs": [pc.mac],
                "items": [item("x", "restore", image="../../etc")],
            }
        ).encode(),
    }
    for name, content in broken.items():
        (folder / f"{name}.json").write_bytes(content)
    (folder / "folder.json").mkdir()
    answer = pc.choose("backup")
    assert answer.status_code == 201, answer.text
    service.admin.delete(f"/v1/jobs/{answer.json()['job']['id']}")
    for name in broken:
        (folder / f"{name}.json").unlink()
    (folder / "folder.json").rmdir()


def test_a_new_menu_counts_at_once(service: Service) -> None:
    pc = make_chooser(service)
    write_menu(service, pc.name, [pc.mac], [item("other", "backup", image="x")])
    assert error_of(pc.choose("backup")) == (403, "no_such_item")
    assert pc.choose("other").status_code == 201
    (service.folder / "menus" / f"{pc.name}.json").unlink()
    assert error_of(pc.choose("other")) == (404, "unknown_machine")


@pytest.mark.parametrize(
    "sent",
    [
        {"password": "x" * 1025},
        {"image": "a" * 101},
        {"once": "1"},
        {"nonce": "short"},
        {"item": "x" * 33},
        {"more": 1},
        {"hardware": {"x": "y" * 70_000}},
    ],
)
def test_bodies_that_are_too_much(service: Service, sent: dict[str, Any]) -> None:
    assert error_of(make_chooser(service).choose("backup", **sent)) == (422, "bad_request")


def await_ended(service: Service, count: int) -> list[dict[str, Any]]:
    """All jobs, once so many of them have ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        jobs: list[dict[str, Any]] = service.admin.get("/v1/jobs").json()["jobs"]
        if len([each for each in jobs if each["state"] == "ended"]) == count:
            return jobs
        time.sleep(0.1)
    raise AssertionError("they do not end")


@pytest.mark.plays
def test_a_pc_that_was_switched_off(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc, other, runner = make_chooser(service), make_chooser(service), Runner(service)
    pc.choose("backup")
    [job] = runner.poll()["begin"]
    other.choose("backup")
    # From here on nobody says anything.
    service.reconfigure(silent_seconds=1)
    ended = await_ended(service, 2)
    assert [each["outcome"] for each in ended] == ["abandoned", "abandoned"]
    assert "switched off" in ended[0]["message"]
    assert runner.poll()["stop"] == [job["id"]], "its playbook must be stopped"


def test_a_session_that_was_abandoned_is_the_jobs_outcome(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    [job] = runner.poll()["begin"]
    session = runner.open_session(job).json()["id"]
    assert pc.check_in(session).status_code == 200
    service.reconfigure(silent_seconds=1)
    assert service.session(session, wait=25, until="ended")["outcome"] == "abandoned"
    assert runner.end(job["id"], "failed", message="no answer")["outcome"] == "abandoned"


def test_the_runner_knows_sooner_that_a_pc_was_switched_off(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    [job] = runner.poll()["begin"]
    assert runner.end(job["id"], "abandoned", message="no answer")["outcome"] == "abandoned"
    assert pc.look()["message"] == "no answer"


def test_a_runner_that_is_gone(own_service: Callable[..., Service]) -> None:
    service = own_service(runner_silent_seconds=1)
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    runner.poll()
    for _ in range(50):
        if (seen := pc.look())["state"] == "ended":
            break
        time.sleep(0.1)
    assert (seen["outcome"], seen["runner"]) == ("failed", False)
    assert "runner" in seen["message"]


def test_a_job_in_the_queue_ends_too(own_service: Callable[..., Service]) -> None:
    service = own_service(job_wait_seconds=1)
    pc = make_chooser(service)
    pc.choose("backup")
    for _ in range(50):
        if (seen := pc.look())["state"] == "ended":
            break
        time.sleep(0.1)
    assert seen["outcome"] == "failed"


def test_a_job_at_work_ends_too(own_service: Callable[..., Service]) -> None:
    service = own_service(job_seconds=1)
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    [job] = runner.poll()["begin"]
    for _ in range(50):
        if pc.look()["state"] == "ended":
            break
        time.sleep(0.1)
    assert pc.look()["outcome"] == "failed"
    assert runner.poll()["stop"] == [job["id"]]


def test_an_answer_to_the_runner_that_got_lost(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    [lost] = runner.poll(keep=False)["begin"]
    [again] = runner.poll()["begin"]
    assert again["id"] == lost["id"]
    assert runner.poll()["begin"] == []


def test_a_runner_that_was_restarted(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)
    pc.choose("backup")
    first = Runner(service)
    [job] = first.poll()["begin"]
    session = first.open_session(job).json()["id"]
    assert Runner(service).poll()["begin"] == []
    assert pc.look()["outcome"] == "failed", "its playbook died with the runner"
    assert service.session(session)["state"] == "ended"


def test_the_runner_is_not_the_administrator(service: Service) -> None:
    runner = Runner(service)
    for path in ("/v1/images", "/v1/status", "/v1/next-boots", "/v1/jobs"):
        assert service.runner.get(path).status_code == 404
    wanted = {"machine": "x", "macs": ["52:54:00:ee:01:01"], "verb": "backup", "image": "x"}
    assert error_of(service.runner.post("/v1/sessions", json=wanted)) == (403, "wrong_job")
    foreign = service.ask(**wanted).json()["id"]
    for method in ("GET", "DELETE"):
        answer = service.runner.request(method, f"/v1/sessions/{foreign}")
        assert error_of(answer) == (403, "wrong_job")
    service.admin.delete(f"/v1/sessions/{foreign}")
    pc, other = make_chooser(service), make_chooser(service)
    pc.choose("backup")
    job = {each["machine"]: each for each in runner.poll(free=64)["begin"]}[pc.name]
    for change in ({"machine": other.name}, {"verb": "restore"}, {"image": "other"}):
        assert error_of(runner.open_session(job, **change)) == (403, "wrong_job")
    macs = runner.open_session(job, macs=[other.mac]).json()
    assert macs["macs"] == [pc.mac], "a session of a job is for the machine of the job"
    assert error_of(service.admin.post("/v1/sessions", json=wanted | {"job": "0" * 16})) == (
        422,
        "bad_request",
    )
    for each in list(runner.holds):
        runner.end(each)
    assert error_of(runner.open_session(job)) == (403, "wrong_job"), "it has ended"


def test_an_administrator_cancels(service: Service) -> None:
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    runner.poll(free=64)
    job = pc.look()["id"]
    cancelled = service.admin.delete(f"/v1/jobs/{job}").json()
    assert cancelled["outcome"] == "cancelled"
    assert job in runner.poll(free=0)["stop"]
    assert "administrator" in pc.look()["message"]
    assert runner.end(job)["outcome"] == "cancelled", "the first word counts"
    assert error_of(service.admin.get("/v1/jobs/none")) == (404, "no_such_job")
    for each in list(runner.holds):
        runner.end(each)


def test_a_waiting_runner_is_told_at_once(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(runner.poll, 1, 20)
        time.sleep(0.3)
        began = time.monotonic()
        pc.choose("backup")
        assert len(waiting.result()["begin"]) == 1
        assert time.monotonic() - began < 10


def test_messages_cannot_act_on_a_terminal(service: Service) -> None:
    pc, runner = make_chooser(service), Runner(service)
    pc.choose("backup")
    runner.poll(free=64)
    words = "\x1b[2J{{ 7*7 }}" + "x" * 7000
    runner.end(pc.look()["id"], "failed", message=words)
    message = pc.look()["message"]
    assert message.startswith("[2J{{ 7*7 }}")
    assert message.isprintable()
    assert len(message) <= 2000
    for each in list(runner.holds):
        runner.end(each)


def test_the_disk_does_not_fill(own_service: Callable[..., Service]) -> None:
    service = own_service(keep_jobs=5)
    pc, runner = make_chooser(service), Runner(service)
    for _ in range(12):
        pc.choose("backup")
        [job] = runner.poll()["begin"]
        runner.end(job["id"])
    for _ in range(50):
        if len(service.admin.get("/v1/jobs").json()["jobs"]) == 5:
            break
        time.sleep(0.1)
    service.restart()
    assert len(service.admin.get("/v1/jobs").json()["jobs"]) == 5


@pytest.mark.plays
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_over_a_restart(
    own_service: Callable[..., Service], number: signal.Signals
) -> None:
    service = own_service()
    pcs, runner = [make_chooser(service) for _ in range(3)], Runner(service)
    for pc in pcs:
        assert pc.choose("backup").status_code == 201
    [first] = runner.poll()["begin"]
    service.restart(number)
    assert [pc.look()["state"] for pc in pcs] == ["running", "queued", "queued"]
    assert [pc.look()["place"] for pc in pcs] == [0, 1, 2]
    assert runner.poll(free=0) == {"begin": [], "stop": []}
    assert runner.end(first["id"])["outcome"] == "done"
    assert len(runner.poll(free=5)["begin"]) == 2
