# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are told: once, in few words, and the server in numbers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway_server.base.outbox import KEPT, Event, Outbox
from slipway_server.base.state_file import StateFile
from slipway_server.choices.metrics import Family, exposition
from slipway_server.jobs.digests import digest
from slipway_server.jobs.night_book import Record
from slipway_server.jobs.schedules import Night
from slipway_server.jobs.windows import Window

from .choosing import Runner, make_chooser, order
from .conftest import Service, cell
from .test_prune import made, say
from .test_registrations import report
from .test_schedules import NIGHTLY, begin, wait_for, window, write
from .worlds import World
from .worlds import make as make_world

HIBERNATED = "Start Windows, turn Fast Startup off, and shut it down."


def events(service: Service, sink: str = "mail") -> list[dict[str, Any]]:
    answer = service.teller.get(f"/v1/sinks/{sink}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def admit(service: Service, *sinks: str) -> None:
    assert service.teller.post("/v1/sinks", json={"sinks": sinks}).status_code == 204


def of_kind(service: Service, kind: str) -> list[dict[str, Any]]:
    return [each for each in events(service) if each["kind"] == kind]


def record(*nights: Night, missed: bool = False) -> Record:
    found = Record("nightly", Window("2026-11-29", 0.0, 1.0), "backup", closed_at=1.0)
    return replace(found, missed=missed, nights={each.machine: each for each in nights})


def test_forty_machines_of_which_three_fail_are_one_digest() -> None:
    nights = [Night(f"pc{number}", "done", "It has a new version.") for number in range(37)]
    nights += [
        Night("pc40", "failed", "The disk's \x1b[31mNTFS\r\nBcc: x@y is hibernated.", HIBERNATED),
        Night("pc38", "failed", "/dev/sdb2 is hibernated.", HIBERNATED),
        Night("pc39", "no_answer", "It had not come when the window ended."),
    ]
    told = digest(record(*nights))
    assert told.subject == "nightly, 2026-11-29: 37 done, 2 failed, 1 no_answer"
    # Those of one remedy stand together, and nothing acts on a terminal or a mail.
    assert told.lines[0] == "failed: pc38, pc40"
    assert sum(HIBERNATED in line for line in told.lines) == 1
    assert told.lines[-2] == "no_answer: pc39"
    assert all(line.isprintable() for line in (told.subject, *told.lines))
    assert not told.quiet


def test_machines_that_need_the_same_stand_together_whatever_each_is_called() -> None:
    more = "Its output says more: playbooks/jobs.yml -e job={}."
    nights = [
        Night(
            name,
            "failed",
            f"{name}: {disk} is hibernated. Nothing was changed. Remedy: Shut {name} down fully.",
            more.format(job * 16),
        )
        for name, disk, job in (("pc1", "disk0:3", "a"), ("pc2", "disk1:1", "b"))
    ]
    nights.append(Night("pc3", "failed", "Its disk fails.", more.format("c" * 16)))
    nights.append(Night("pc4", "failed", "The runner failed.", more.format("d" * 16)))
    told = digest(record(*nights))
    groups = [line for line in told.lines if not line.startswith(" ")]
    assert groups[0] == "failed: pc1, pc2"
    assert len(told.lines) == 3 * len(groups)


def test_a_window_of_nobody_is_a_sign_of_life_and_one_that_was_missed_is_news() -> None:
    assert digest(record()).quiet
    told = digest(record(Night("pc1", "not_reached", "The server was down."), missed=True))
    assert "the server was down, 1 not_reached" in told.subject
    assert not told.quiet


def test_each_thing_is_told_once_whoever_dies_when(tmp_path: Path) -> None:
    async def live() -> None:
        state = StateFile(tmp_path)
        outbox = Outbox(state)
        assert outbox.known("stale") is None
        await outbox.admit(["mail"])
        await outbox.tell("stale", ["pc1"], [Event("stale", "1 machine")])
        state.close()
        # Another process goes on where this one was.
        state = StateFile(tmp_path)
        outbox = Outbox(state)
        assert outbox.known("stale") == {"pc1"}
        [first] = outbox.waiting("mail")
        await outbox.note("mail", None, "no route")
        assert outbox.warnings() and outbox.behind() == {"mail": 1}
        await outbox.note("mail", first["number"], None)
        assert (outbox.waiting("mail"), outbox.warnings()) == ([], [])
        # Who comes new is told nothing old, and who stays is not told again.
        await outbox.admit(["mail", "hook"])
        assert outbox.waiting("hook") == outbox.waiting("mail") == []
        many = [Event("stale", str(number)) for number in range(KEPT + 5)]
        await outbox.tell("stale", [], many)
        assert outbox.waiting("hook")[0]["subject"] == "5"
        state.close()

    asyncio.run(live())


@pytest.fixture
def teller(own_service: Callable[..., Service], tmp_path: Path) -> Service:
    service = own_service(policy_dir=str(tmp_path / "0/policy"), tell_seconds=1)
    wait_for(lambda: service.teller.get("/v1/sinks/mail").status_code == 404)
    admit(service, "mail")
    return service


def test_failed_jobs_pcs_that_wait_and_those_posed_as_are_told_once(teller: Service) -> None:
    time.sleep(1.5)
    pc = make_chooser(teller)
    assert order(teller, pc.name).status_code == 201
    runner = Runner(teller)
    [job] = begin(runner)
    runner.end(job["id"], "failed", message="The \x1b[2Jdisk fails.", remedy="Replace it.")
    [told] = wait_for(lambda: of_kind(teller, "job_failed"))
    assert told["subject"] == "1 job failed"
    assert told["lines"] == [f"backup of {pc.name}: The  [2Jdisk fails. Replace it."]
    asks = report()
    assert teller.http.post("/v1/registrations", json=asks).status_code == 201
    [told] = wait_for(lambda: of_kind(teller, "registration_waits"))
    assert told["subject"] == "1 PC waits to be registered"
    assert told["lines"] == [f"{asks['macs'][0]}: see register.yml"]
    machine = teller.machine()
    assert machine.check_in("10.77.0.66").status_code == 409
    [told] = wait_for(lambda: of_kind(teller, "second_check_in"))
    assert told["subject"] == "somebody posed as 1 PC"
    assert told["lines"][0].startswith(f"{machine.name}, from 10.77.0.66: ")
    teller.restart()
    time.sleep(2.5)
    for kind in ("job_failed", "registration_waits", "second_check_in"):
        assert len(of_kind(teller, kind)) == 1, kind


def test_a_bad_chunk_is_told_once_and_again_after_it_was_well(teller: Service) -> None:
    content = cell("rots and is told")
    made(teller, "pc1", "20260101T000000Z", content)
    sound = teller.chunk_path(content).read_bytes()
    for times in (1, 2):
        teller.chunk_path(content).write_bytes(sound[:-1] + bytes([sound[-1] ^ 255]))
        teller.admin.post("/v1/scrub", json={})
        wait_for(lambda: len(of_kind(teller, "check_broken")) == times)  # noqa: B023
        said = of_kind(teller, "check_broken")[-1]
        assert "pc1@20260101T000000Z names a bad chunk: its next backup heals it" in said["lines"]
        # Sound ones that are read meanwhile make nothing well.
        pc = teller.machine()
        pc.put(cell(f"sound {times}"))
        teller.admin.delete(f"/v1/sessions/{pc.session}")
        teller.admin.post("/v1/scrub", json={"older_than_days": 1})
        wait_for(lambda: not teller.admin.get("/v1/upkeep").json()["under_way"])
        assert teller.admin.get("/v1/upkeep").json()["scrub"]["problem"] is None
        time.sleep(1.5)
        assert len(of_kind(teller, "check_broken")) == times
        teller.chunk_path(content).write_bytes(sound)
        teller.admin.post("/v1/scrub", json={})
        wait_for(lambda: not teller.admin.get("/v1/upkeep").json()["under_way"])
        time.sleep(1.5)


def test_a_prune_that_waits_is_told(teller: Service) -> None:
    for number in range(1, 14):
        made(teller, "pc1", f"202601{number:02}T000000Z", cell("one"))
    say(teller, keep={"last": 1})
    assert teller.admin.post("/v1/prune", json={}).status_code == 409
    [told] = wait_for(lambda: of_kind(teller, "prune_waits"))
    assert told["subject"] == "a prune waits for a word"
    assert "digest" in told["lines"][0]


def test_a_store_that_frees_nothing_and_is_nearly_full_is_told(teller: Service) -> None:
    made(teller, "pc1", "20260101T000000Z", cell("full"))
    odd = teller.store / "images/pc1/copy-of-20260101T000000Z.json"
    odd.write_bytes((teller.store / "images/pc1/20260101T000000Z.json").read_bytes())
    assert teller.admin.post("/v1/collect").json()["error"] == "collection_stopped"
    [told] = wait_for(lambda: of_kind(teller, "collection_stopped"))
    assert told["subject"] == "nothing is freed any more"
    assert str(odd) in told["lines"][0]
    assert of_kind(teller, "store_low") == []
    teller.reconfigure(store_reserve_bytes=1 << 60)
    [told] = wait_for(lambda: of_kind(teller, "store_low"))
    assert told["subject"] == "the store is nearly full"
    assert len(of_kind(teller, "collection_stopped")) == 1


@pytest.fixture
def night(tmp_path: Path) -> Any:
    service, world = make_world(tmp_path, tell_seconds=1)
    try:
        yield service.start(), world
    finally:
        service.close()


def test_a_window_is_told_when_it_is_over_and_old_backups_with_it(
    night: tuple[Service, World],
) -> None:
    service, world = night
    admit(service, "mail")
    pc = make_chooser(service)
    write(service, nightly=NIGHTLY | window(30) | {"machines": [pc.name], "alarm_days": 1})
    wait_for(lambda: service.admin.get("/v1/jobs").json()["jobs"])
    world.set_clock(3600)
    [told] = wait_for(lambda: of_kind(service, "window_done"))
    assert re.fullmatch(r"nightly, [\d-]+: 1 not_reached", told["subject"])
    assert told["lines"][0] == f"not_reached: {pc.name}"
    assert of_kind(service, "stale") == []
    world.set_clock(2 * 86400)
    service.restart()
    [old] = wait_for(lambda: of_kind(service, "stale"))
    assert old["lines"] == [f"{pc.name}: has no good version, wanted is 1 days"]
    service.restart()
    time.sleep(2)
    assert len(of_kind(service, "stale")) == 1
    # Those two nights and no more: one that was missed is told, too.
    subjects = [each["subject"] for each in of_kind(service, "window_done")]
    assert len(subjects) == len(set(subjects))
    text = service.metrics.get("/metrics").text
    assert 'slipway_window_machines{schedule="nightly",outcome="not_reached"} 1' in text


def test_what_can_not_be_meant_at_the_socket_of_the_teller(service: Service) -> None:
    for body in ({"sinks": ["Mail"]}, {"sinks": "mail"}, {}):
        assert service.teller.post("/v1/sinks", json=body).status_code == 422
    assert service.teller.get("/v1/sinks/nobody").json()["error"] == "unknown_sink"
    assert service.teller.post("/v1/sinks/nobody", json={}).json()["error"] == "unknown_sink"


def test_metrics_are_open_metrics(service: Service) -> None:
    name, _ = service.image(cell("counted"))
    answer = service.metrics.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    lines = answer.text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"(,[a-z]+="[^"\\\n]*")*\})? -?[0-9.e+-]+')
    families: list[str] = []
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            assert line.split()[2] not in families
            families.append(line.split()[2])
        elif not line.startswith("# HELP "):
            assert sample.fullmatch(line), line
            assert re.split("[ {]", line)[0] == families[-1]
    assert f'slipway_image_versions{{image="{name}"}} 1' in lines
    assert "slipway_store_bytes" in families


def test_what_acts_in_a_label_is_escaped() -> None:
    family = Family("a", "b")
    family.add(1, text='"\\\n')
    assert exposition([family]).split("\n")[2] == r'a{text="\"\\\n"} 1'
    assert json.loads('"' + r"\"\\\n" + '"') == '"\\\n'
