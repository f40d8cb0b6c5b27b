# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PC's user says to the service: a choice in the menu, a new PC's name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.errors import StoreUnreachable
from slipway.net.checkin import check_in
from slipway.net.choice import Desk, JobStatus, Refusal, wish
from slipway.net.registration import Registration

from .both_ends import Pc, Server, make_pc, serving
from .choosing import PASSWORD, Runner, item, password_hash, write_menu
from .conftest import cell


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("ends")) as made:
        yield made


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return make_pc(tmp_path)


def sit_down(server: Server, pc: Pc, **wanted: Any) -> Desk:
    """Choose the one item of the PC's menu."""
    action = wanted.pop("action", "backup")
    write_menu(server.service, pc.name, [pc.mac], [item("save", action, **wanted)])
    return Desk(server.site, wish("quiet slipway.item=save"), pc.nonce, pc.root)


def status(said: JobStatus | Refusal) -> JobStatus:
    assert isinstance(said, JobStatus), said
    return said


def refusal(said: JobStatus | Refusal) -> Refusal:
    assert isinstance(said, Refusal), said
    return said


def test_a_choice_with_a_password_becomes_a_job(server: Server, pc: Pc) -> None:
    desk = sit_down(server, pc, image=pc.name, password_hash=password_hash())
    assert refusal(desk.choose(None, None)).error == "password_required"
    wrong = refusal(desk.choose("wrong", None))
    assert (wrong.error, bool(wrong.message), bool(wrong.remedy)) == ("wrong_password", True, True)
    slower = refusal(desk.choose(PASSWORD, None))
    assert slower.error == "too_many_tries" and 0 < slower.wait_seconds < 9
    time.sleep(slower.wait_seconds)
    taken = status(desk.choose(PASSWORD, None))
    assert (taken.machine, taken.action, taken.image) == (pc.name, "backup", pc.name)
    looked = status(desk.look())
    assert (looked.state, looked.place, looked.runner) == ("queued", 1, False)


def test_the_pc_follows_its_job_to_the_end(server: Server, pc: Pc) -> None:
    desk, runner = sit_down(server, pc, image=pc.name), Runner(server.service)
    first = status(desk.choose(None, None))
    [job] = [each for each in runner.poll(free=9)["begin"] if each["machine"] == pc.name]
    waiting = status(desk.look())
    assert (waiting.state, waiting.place, waiting.runner) == ("running", 0, True)
    opened = runner.open_session(job).json()["id"]
    assert status(desk.look()).session == opened
    session = check_in(server.site, opened, print, pc.nonce, pc.root)
    assert (session.machine, session.verb, session.image) == (pc.name, "backup", first.image)
    runner.end(job["id"], "failed", message="The disk is gone.", remedy="Look at its cable.")
    last = status(desk.look())
    assert (last.state, last.outcome) == ("ended", "failed")
    assert (last.message, last.remedy) == ("The disk is gone.", "Look at its cable.")


def test_a_list_of_images_to_pick_from(server: Server, pc: Pc) -> None:
    names = [server.service.image(cell(f"{pc.name} {each}"))[0] for each in "ab"]
    desk = sit_down(server, pc, action="restore", images=names)
    offered = refusal(desk.choose(None, None))
    assert (offered.error, list(offered.images)) == ("image_required", names)
    assert status(desk.choose(None, names[1])).image == names[1]


def test_a_pc_registers_and_is_told(server: Server, pc: Pc) -> None:
    registration = Registration(server.site, pc.nonce, pc.root)
    asked = registration.report("my-pc")
    assert (asked.state, asked.name) == ("waiting", "my-pc")
    mine = waiting(server, pc)
    path = f"/v1/registrations/{mine['id']}/approve"
    assert server.service.admin.post(path, json={"machine": "pc-ends"}).status_code == 200
    told = registration.standing()
    assert told is not None and (told.state, told.machine) == ("approved", "pc-ends")


def test_a_pc_that_is_not_wanted_is_told_why(server: Server, pc: Pc) -> None:
    registration = Registration(server.site, pc.nonce, pc.root)
    registration.report()
    other = Registration(server.site, "another-boot" * 3, pc.root)
    with pytest.raises(StoreUnreachable):
        other.report()
    path = f"/v1/registrations/{waiting(server, pc)['id']}/refuse"
    assert server.service.admin.post(path, json={"reason": "not ours"}).status_code == 200
    told = registration.standing()
    assert told is not None and (told.state, told.reason) == ("refused", "not ours")
    again = Registration(server.site, pc.nonce, pc.root).report()
    assert (again.state, "not ours" in again.reason) == ("refused", True)


def waiting(server: Server, pc: Pc) -> dict[str, Any]:
    """The PC in the queue, as an administrator sees it."""
    queue = server.service.admin.get("/v1/registrations").json()["registrations"]
    [mine] = [each for each in queue if pc.mac in each["macs"]]
    found: dict[str, Any] = mine
    return found
