# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules on a real service: what can't be meant, a night from its begin to its end, orders."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from slipway.format.frames import digest_of, make_frame
from slipway_server.base.policy_files import PolicyError
from slipway_server.jobs.options import JOB_OPTIONS
from slipway_server.jobs.schedule_files import parse

from .choosing import Chooser, Runner, make_chooser, order
from .conftest import ADDRESS, HOST_KEY, ROOT, Service, cell, manifest_of
from .worlds import make as make_world

NIGHTLY: dict[str, Any] = {"verb": "backup", "machines": ["pc1"], "from": "20:00", "to": "06:00"}

FAULTS = {
    "no length": ({"to": "20:00"}, "policy_schedules.nightly.to: the window has no length"),
    "no end": ({"to": None}, "policy_schedules.nightly.to: must be a time of day"),
    "a time that YAML made a number": ({"from": 1200}, "in quotation marks"),
    "a time that no clock shows": ({"from": "24:00"}, "must be a time of day"),
    "nobody": ({"machines": [], "pattern": "room_9"}, "matches no machine of this server"),
    "a name that the inventory lacks": (
        {"unknown": ["!pc-teachr (did you mean pc-teacher?)"]},
        "the inventory has no !pc-teachr (did you mean pc-teacher?)",
    ),
    "a name that is none": ({"machines": ["PC 1"]}, "policy_schedules.nightly.machines.0"),
    "a verb that is none": ({"verb": "bakcup"}, "(did you mean backup?)"),
    "a key that is none": ({"evry_days": 2}, "(did you mean every_days?)"),
    "a day that is none": ({"days": ["mon", "tues"]}, "(did you mean tue?)"),
    "a day twice": ({"days": ["mon", "mon"]}, "mon stands there twice"),
    "no day": ({"days": []}, "policy_schedules.nightly.days"),
    "no date": ({"except": ["24.12.2026"]}, "is no date such as 2026-12-24"),
    "dates the other way round": ({"except": ["2027-01-06..2026-12-24"]}, "ends before it begins"),
    "nobody at once": ({"at_once": 0}, "policy_schedules.nightly.at_once"),
    "never": ({"every_days": 0}, "policy_schedules.nightly.every_days"),
    "no try": ({"attempts": 0}, "policy_schedules.nightly.attempts"),
    "something else if on": ({"if_on": "ask"}, "must be one of skip, wait"),
    "something else after": ({"after": "stay"}, "must be one of as_found, poweroff, reboot"),
    "an image to save": ({"image": "pc1"}, "policy_schedules.nightly.image: backup takes none"),
    "a restore of nothing": ({"verb": "restore"}, "say which one is to be restored"),
    "an option that is none": ({"disk_patient": 5}, "(did you mean disk_patience?)"),
    "an option of no night": ({"disk_luks_keys": {}}, "disk_luks_keys: there is no such key"),
    "no patience": ({"disk_patience": 0}, "policy_schedules.nightly.disk_patience"),
    "patience in words": ({"disk_patience": "5 min"}, "policy_schedules.nightly.disk_patience"),
    "an option's value that is none": ({"disk_unclean": "hole"}, "(did you mean whole?)"),
    "a place that is none": ({"disk_whole": ["sda1"]}, "policy_schedules.nightly.disk_whole.0"),
    "another verb's option": (
        {"disk_read_back": True},
        "policy_schedules.nightly.disk_read_back: backup takes disk_patience, disk_whole,",
    ),
    "an option of a wake": (
        {"verb": "wake", "disk_patience": 5},
        "policy_schedules.nightly.disk_patience: wake takes no options",
    ),
    "no machines": ({"machines": "pc1"}, "policy_schedules.nightly.machines"),
}


def problems(**said: Any) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        parse(said)
    return refused.value.problems


@pytest.mark.parametrize("case", FAULTS)
def test_what_can_not_be_meant(case: str) -> None:
    changes, words = FAULTS[case]
    found = problems(schedules={"nightly": NIGHTLY | changes})
    assert any(words in each for each in found), found


def test_all_faults_are_told_at_once() -> None:
    faults = [changes for changes, _ in FAULTS.values()]
    said = {f"n{number}": NIGHTLY | changes for number, changes in enumerate(faults)}
    said |= {"a": NIGHTLY | {"machines": ["x"]}, "b": NIGHTLY | {"machines": ["x"]}}
    said |= {"Not A Name": NIGHTLY}
    found = problems(schedules=said, time_zone="Europe/Berln")
    for number in range(len(faults)):
        assert any(f"policy_schedules.n{number}" in each for each in found), faults[number]
    assert any("(did you mean Europe/Berlin?)" in each for each in found)
    assert any("a and b both backup x" in each for each in found)
    assert any("must be a name" in each for each in found)


@pytest.mark.parametrize(
    ("other", "clash"),
    [
        ({}, "both backup pc1"),
        ({"machines": ["pc1", "pc2"], "from": "07:00", "to": "08:00"}, "both backup pc1"),
        ({"verb": "verify"}, "want pc1 at the same time"),
        ({"verb": "wake", "from": "05:59", "to": "07:00"}, "want pc1 at the same time"),
        ({"verb": "wake", "from": "06:00", "to": "07:00"}, None),
        ({"machines": ["pc2"]}, None),
        ({"verb": "verify", "days": ["sun"]}, None),
        ({"verb": "verify", "days": ["sat"], "from": "05:00", "to": "07:00"}, "the same time"),
    ],
)
def test_two_schedules_for_one_machine(other: dict[str, Any], clash: str | None) -> None:
    first = NIGHTLY | {"days": ["mon", "tue", "wed", "thu", "fri"]}
    said = {"nightly": first, "other": NIGHTLY | other}
    if clash is None:
        assert len(parse({"schedules": said}).schedules) == 2
    else:
        assert any(clash in each for each in problems(schedules=said))


def window(minutes: int = 60, begin: int = -1) -> dict[str, str]:
    """A window that began a minute ago, in UTC."""
    first = datetime.now(UTC) + timedelta(minutes=begin)
    return {"from": f"{first:%H:%M}", "to": f"{first + timedelta(minutes=minutes):%H:%M}"}


def write(service: Service, **schedules: Any) -> None:
    """Write the plan as the role does."""
    folder = service.folder / "policy"
    folder.mkdir(exist_ok=True)
    new = folder / ".schedules.new"
    new.write_text(json.dumps({"time_zone": "UTC", "schedules": schedules}))
    new.rename(folder / "schedules.json")


def nights(service: Service, name: str = "nightly") -> dict[str, Any]:
    """The last window's machines by name."""
    answer = service.admin.get(f"/v1/schedules/{name}")
    assert answer.status_code == 200, answer.text
    found = answer.json()["nights"]
    return {each["machine"]: each for each in found[-1]["machines"]} if found else {}


def wait_for(what: Callable[[], Any]) -> Any:
    """What it answers, once that is something."""
    deadline = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def begin(runner: Runner) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wait_for(lambda: runner.poll(free=8)["begin"])
    return found


@pytest.fixture
def planned(own_service: Callable[..., Service], tmp_path: Path) -> Service:
    """A service that looks for a plan in its folder."""
    return own_service(policy_dir=str(tmp_path / "0/policy"))


def save(service: Service, pc: Chooser, runner: Runner, job: dict[str, Any]) -> None:
    """Play a backup to its end."""
    session = runner.open_session(job).json()["id"]
    report = {"session": session, "macs": [pc.mac], "host_key": HOST_KEY, "agent_version": "0.1.0"}
    arrived = service.http.post("/v1/checkin", json=report, headers={"X-Real-IP": ADDRESS})
    token = {"Authorization": f"Bearer {arrived.json()['token']}"}
    content = cell(pc.name)
    sent = service.http.put(
        f"/v1/chunks/{digest_of(content)}", content=make_frame(content), headers=token
    )
    assert sent.status_code in (200, 201), sent.text
    made = service.http.post(
        f"/v1/images/{pc.name}", content=manifest_of(pc.name, content), headers=token
    )
    assert made.status_code == 201, made.text
    service.runner.delete(f"/v1/sessions/{session}", params={"outcome": "done"})
    runner.end(job["id"])


def test_a_night_from_its_begin_to_its_end(planned: Service) -> None:
    pcs = [make_chooser(planned) for _ in range(3)]
    names = [pc.name for pc in pcs]
    assert order(planned, pcs[2].name).status_code == 201
    busy = planned.admin.get("/v1/jobs").json()["jobs"][0]["id"]
    write(planned, nightly=NIGHTLY | window() | {"machines": names, "stagger_seconds": 0})
    runner = Runner(planned)
    wait_for(lambda: len(planned.admin.get("/v1/jobs").json()["jobs"]) == 3)
    given = {job["machine"]: job for job in begin(runner)}
    for name in names[:2]:
        assert (given[name]["origin"], given[name]["by"]) == ("schedule", "schedule")
        assert given[name]["arrival"] == "wakes" and given[name]["not_after"]
    assert wait_for(lambda: nights(planned)[names[2]]["message"])
    save(planned, pcs[0], runner, given[names[0]])
    runner.end(given[names[1]]["id"], "was_on", message="It is on.")
    found = wait_for(lambda: (n := nights(planned))[names[1]]["outcome"] and n)
    assert {name: found[name]["outcome"] for name in names[:2]} == {
        names[0]: "done",
        names[1]: "was_on",
    }
    assert found[names[1]]["message"] == "It is on."
    # The machine that somebody else had gets its turn, and nobody a second.
    planned.admin.delete(f"/v1/jobs/{busy}")
    runner.holds.clear()
    lines = planned.admin.get("/v1/audit").json()["lines"]
    mine = [each for each in lines if each["role"] == "schedule"]
    said = {(each["who"], each["verb"], each["subject"], each["outcome"]) for each in mine}
    assert ("nightly", "order a job", names[0], "done") in said
    assert ("nightly", "order a job", names[2], "machine_busy") in said
    [shown] = planned.admin.get("/v1/schedules").json()["schedules"]
    assert shown["open"] and shown["next"]["key"] > shown["open"]
    assert shown["windows"][-1]["counts"]["done"] == 1


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("backup", {"disk_patience": 30, "disk_unclean": "whole", "disk_whole": ["disk0:2"]}),
        ("restore", {"disk_patience": 30, "disk_only": ["disk0"], "disk_read_back": True}),
        ("verify", {"disk_read_first": "always"}),
    ],
)
def test_each_job_is_told_the_options_of_its_schedule(
    planned: Service, verb: str, options: dict[str, Any]
) -> None:
    pc = make_chooser(planned)
    image = {} if verb == "backup" else {"image": planned.image(cell("told"))[0]}
    said = NIGHTLY | window() | {"verb": verb, "machines": [pc.name]} | image | options
    write(planned, nightly=said)
    [job] = begin(Runner(planned))
    assert job["options"] == options
    [shown] = planned.admin.get("/v1/schedules").json()["schedules"]
    assert shown["options"] == options
    effect = planned.admin.post(
        "/v1/policy/effect", json={"policy": {"schedules": {"nightly": said}}}
    ).json()
    [line] = [each for each in effect["after"] if each.startswith("schedule")]
    assert all(f"{name} {json.dumps(value)}" in line for name, value in options.items())


def test_a_job_that_waits_is_not_begun_after_its_window(tmp_path: Path) -> None:
    service, world = make_world(tmp_path)
    try:
        service.start()
        pc = make_chooser(service)
        write(service, nightly=NIGHTLY | window(30) | {"machines": [pc.name]})
        wait_for(lambda: service.admin.get("/v1/jobs").json()["jobs"])
        world.set_clock(3600)
        assert Runner(service).poll()["begin"] == []
        found = wait_for(lambda: (n := nights(service))[pc.name]["outcome"] and n)
        assert found[pc.name]["outcome"] == "not_reached"
        [job] = service.admin.get("/v1/jobs").json()["jobs"]
        assert (job["state"], job["outcome"]) == ("ended", "cancelled")
    finally:
        service.close()


def test_no_session_is_pending_after_the_window(tmp_path: Path) -> None:
    service, world = make_world(tmp_path)
    try:
        service.start()
        pc, runner = make_chooser(service), Runner(service)
        write(service, nightly=NIGHTLY | window(30) | {"machines": [pc.name]})
        [job] = begin(runner)
        assert runner.open_session(job).status_code == 201
        assert pc.boot().status_code == 200
        world.set_clock(3600)
        found = wait_for(lambda: (n := nights(service))[pc.name]["outcome"] and n)
        assert found[pc.name]["outcome"] == "no_answer"
        assert pc.boot().status_code == 404, "the PC is its user's again"
        sessions = service.admin.get("/v1/sessions").json()["sessions"]
        assert [each["state"] for each in sessions] == ["ended"]
        [shown] = service.admin.get("/v1/schedules").json()["schedules"]
        assert shown["windows"][-1]["closed"] and shown["open"] is None
    finally:
        service.close()


@pytest.mark.parametrize("planned_work", ["backup", "verify", "ordered"])
def test_somebody_at_the_pc_says_later(planned: Service, planned_work: str) -> None:
    pc, runner = make_chooser(planned), Runner(planned)
    if planned_work == "ordered":
        assert order(planned, pc.name).status_code == 201
    else:
        name, _ = planned.image(cell("compared"))
        more = {"verb": planned_work} | ({"image": name} if planned_work == "verify" else {})
        write(planned, nightly=NIGHTLY | window() | more | {"machines": [pc.name]})
    [job] = begin(runner)
    session = runner.open_session(job).json()["id"]
    report = {"session": session, "macs": [pc.mac], "host_key": HOST_KEY, "agent_version": "0.1.0"}
    arrived = planned.http.post("/v1/checkin", json=report, headers={"X-Real-IP": ADDRESS}).json()
    assert arrived["session"]["postponable"] is (planned_work == "backup")
    token = {"Authorization": f"Bearer {arrived['token']}"}
    answer = planned.http.post("/v1/session/postpone", json={}, headers=token)
    if planned_work != "backup":
        assert (answer.status_code, answer.json()["error"]) == (409, "not_postponable")
        assert planned.session(session)["state"] == "checked_in"
        return
    assert answer.status_code == 200
    assert runner.poll()["stop"] == [job["id"]]
    assert wait_for(lambda: nights(planned)[pc.name]["outcome"]) == "postponed"
    assert planned.session(session)["state"] == "ended"
    assert pc.boot().status_code == 404, "the disk boots"


def test_a_window_goes_on_after_the_service_was_killed(planned: Service) -> None:
    pcs = [make_chooser(planned) for _ in range(2)]
    write(planned, nightly=NIGHTLY | window() | {"machines": [each.name for each in pcs]})
    runner = Runner(planned)
    [job, *more] = begin(runner)
    runner.end(job["id"], "was_on")
    wait_for(lambda: nights(planned)[job["machine"]]["outcome"])
    # It is seen before it is on the disk; what is written after it is answered after it.
    planned.machine()
    planned.restart(9)
    assert nights(planned)[job["machine"]]["outcome"] == "was_on"
    left = more or begin(runner)
    assert {each["machine"] for each in left} == {each.name for each in pcs} - {job["machine"]}


def test_what_people_do_with_a_schedule(planned: Service) -> None:
    pc = make_chooser(planned)
    later = NIGHTLY | window(60, begin=120) | {"machines": [pc.name]}
    write(planned, nightly=later)
    post = planned.admin.post
    assert post("/v1/schedules/nihtly/run").json()["error"] == "unknown_schedule"
    assert "did you mean nightly?" in post("/v1/schedules/nihtly/skip").json()["message"]
    skipped = post("/v1/schedules/nightly/skip").json()
    assert skipped["skips"] == skipped["next"]["key"]
    for until in ("tomorrow", "2020-01-01", "2020-01-01T00:00"):
        answer = post("/v1/schedules/nightly/pause", json={"until": until})
        assert (answer.status_code, answer.json()["error"]) == (422, "bad_request")
    paused = post("/v1/schedules/nightly/pause", json={"until": "2099-01-01"}).json()
    assert paused["paused_until"] == "2099-01-01T00:00:00Z"
    assert post("/v1/schedules/nightly/pause", json={"until": None}).json()["paused_until"] is None
    # Somebody's word now counts more than a pause.
    post("/v1/schedules/nightly/pause", json={"until": "2099-01-01"})
    ran = post("/v1/schedules/nightly/run", headers={"Slipway-By": "alice"}).json()
    assert ran["open"] and ran["windows"][-1]["by"] == "alice"
    assert post("/v1/schedules/nightly/run").json()["error"] == "window_open"
    [job] = begin(Runner(planned))
    assert job["machine"] == pc.name
    lines = planned.admin.get("/v1/audit").json()["lines"]
    verbs = [each["verb"] for each in lines if each["role"] == "administrator"]
    assert verbs.count("pause a schedule") == 6 and verbs.count("run a schedule") == 3


def test_a_paused_window_orders_nothing_and_says_so(tmp_path: Path) -> None:
    service, world = make_world(tmp_path)
    try:
        service.start()
        pc = make_chooser(service)
        write(service, nightly=NIGHTLY | window(60, begin=10) | {"machines": [pc.name]})
        service.admin.post("/v1/schedules/nightly/pause", json={"until": "2099-01-01"})
        world.set_clock(1800)
        assert wait_for(lambda: nights(service))[pc.name]["state"] == "waits"
        world.set_clock(7200)
        found = wait_for(lambda: (n := nights(service))[pc.name]["outcome"] and n)
        assert found[pc.name]["outcome"] == "paused"
        assert service.admin.get("/v1/jobs").json()["jobs"] == []
    finally:
        service.close()


def test_the_service_looks_at_a_plan_before_it_is_written(planned: Service) -> None:
    pc = make_chooser(planned)

    def effect(**said: Any) -> dict[str, Any]:
        answer = planned.admin.post("/v1/policy/effect", json={"policy": said})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    good = NIGHTLY | {"machines": [pc.name]}
    said = effect(time_zone="Europe/Berlin", schedules={"nightly": good})
    [line] = [each for each in said["after"] if each.startswith("schedule")]
    assert "20:00 to 06:00 (Europe/Berlin)" in line and pc.name in line
    assert not any(each.startswith("schedule") for each in said["before"])
    assert effect(schedules={"n": good | {"machines": ["elsewhere"]}})["warnings"]
    both = effect(keep={"dayly": 1}, time_zone="Mars", schedules={"n": good | {"to": "20:00"}})
    assert len(both["problems"]) == 3, both
    gone = good | {"verb": "restore", "image": "nothing"}
    assert "policy_schedules.n.image" in effect(schedules={"n": gone})["problems"][0]
    assert "policy_schedules" in effect(shedules={})["problems"][0]


def test_an_image_that_a_schedule_names_stays(planned: Service) -> None:
    name, version = planned.image(cell("named"))
    pc = make_chooser(planned)
    said = {"verb": "restore", "image": f"{name}@{version}", "machines": [pc.name]}
    write(planned, reset=NIGHTLY | window(60, begin=120) | said)
    answer = planned.admin.delete(f"/v1/images/{name}/{version}")
    assert (answer.status_code, answer.json()["error"]) == (409, "image_named")
    assert "schedule reset" in answer.json()["message"]


def test_a_plan_that_can_not_be_read_is_said(planned: Service) -> None:
    (planned.folder / "policy").mkdir()
    (planned.folder / "policy/schedules.json").write_text('{"schedules": {"n": {}}}')
    warnings = planned.admin.get("/v1/status").json()["warnings"]
    assert any("schedules.json" in each for each in warnings)
    assert planned.admin.get("/v1/schedules").json()["error"] == "policy_broken"


def test_the_readme_names_every_option() -> None:
    text = (ROOT / "roles/policy/README.md").read_text()
    known = {name for each in JOB_OPTIONS.values() for name in each.model_fields}
    assert [name for name in sorted(known) if f"`{name}`" not in text] == []
