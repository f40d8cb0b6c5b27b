# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own requests against the real service, through the role's nginx and TLS.

What each side says of the other in its own tests may be wrong on both; here they meet.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _progress as plugin
from slipway.cli.views import error_json, progress_line, result_lines
from slipway.engine.backup import Options, backup
from slipway.engine.devices import find_disk
from slipway.engine.errors import (
    CheckinRefused,
    ImageDamaged,
    StoreFull,
    StoreRefused,
    TargetRefused,
)
from slipway.engine.progress import Meter, Record
from slipway.engine.result import Result
from slipway.engine.store import ChunksLacking, read_through
from slipway.format import (
    ImageRef,
    Machine,
    digest_of,
    make_frame,
    parse,
    parse_image_ref,
)
from slipway.format.units import size
from slipway.net.checkin import check_in, next_session, stay
from slipway.net.http_store import HttpStore
from slipway.net.session import Reporter, Session, postpone, report_end

from .both_ends import Pc, Server, arrive, boot, end, make_pc, serving
from .choosing import Runner, item, order, write_menu
from .conftest import cell, manifest_of
from .test_schedules import NIGHTLY, begin, window, write


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ends")
    with serving(folder, policy_dir=str(folder / "service/policy")) as made:
        yield made


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return make_pc(tmp_path)


@pytest.fixture
def known(server: Server, pc: Pc) -> str:
    """The PC's name, of which the server's inventory knows."""
    write_menu(server.service, pc.name, [pc.mac], [item("save", "backup", image=pc.name)])
    return pc.name


def store_of(session: Session) -> HttpStore:
    return HttpStore(session.client(), session.version)


def save(session: Session, disk: Path, image: str, reporter: Reporter) -> tuple[Result, Record]:
    """Back a disk up; return the result, and the last record of its progress."""
    said: list[Record] = []

    def tell(record: Record) -> None:
        said.append(record)
        reporter.progress(record)

    saved = backup(
        [find_disk(disk)], image, store_of(session), Meter(tell), Machine(), Options(threads=2)
    )
    return saved, said[-1]


def test_a_machine_checks_in_saves_its_disk_and_reads_it_again(server: Server, pc: Pc) -> None:
    image = f"ends-{secrets.token_hex(4)}"
    disk = pc.root / "disk"
    disk.write_bytes(os.urandom(5 << 20))
    session = arrive(server, pc, "backup", image)
    assert (session.machine, session.verb, session.image) == (pc.name, "backup", image)
    reporter = Reporter(session, "job-1")
    reporter.warning("careful")
    saved, last = save(session, disk, image, reporter)
    reporter.finish(saved.to_json())
    seen = server.service.session(session.session)
    signed = {"job": "job-1", "warnings": ["careful"]}
    assert seen["version"] == saved.version
    assert seen["result"] == json.loads(json.dumps(saved.to_json())) | signed
    # What is read on the PC is read by whoever asks the service.
    assert progress_line(seen["progress"]) == progress_line(last.to_json())
    assert plugin.line(pc.name, seen["progress"]) == plugin.line(pc.name, last.to_json())
    here, there = result_lines(saved)[0], plugin.summary(pc.name, seen["result"])
    for amount in (size(saved.read), size(saved.sent)):
        assert amount in here and amount in there
    end(server, session)
    session = arrive(server, pc, "verify", image)
    assert session.version == saved.version
    store = store_of(session)
    manifest = store.manifest(parse_image_ref(image))
    assert read_through(store, manifest, Meter(lambda record: None), 2) == []
    assert [each.version for each in store.images()[0].versions] == [saved.version]
    end(server, session)


def test_what_another_pc_has_sent_is_not_sent_again(
    server: Server, pc: Pc, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content, results = os.urandom(5 << 20), []
    for each in (pc, make_pc(tmp_path_factory.mktemp("other"))):
        (each.root / "disk").write_bytes(content)
        session = arrive(server, each, "backup", each.name)
        results.append(save(session, each.root / "disk", each.name, Reporter(session))[0])
        end(server, session)
    first, second = results
    assert first.sent > 0 and first.read == second.read
    assert (second.sent, second.cells.sent, second.stored) == (0, 0, first.stored)


def test_a_job_that_failed_and_one_that_was_killed(server: Server, pc: Pc) -> None:
    session = arrive(server, pc, "restore", server.service.image(cell(pc.name))[0])
    failure = error_json(TargetRefused("the disk is too small", "use a larger one"))
    Reporter(session, "job-1").finish(failure)
    seen = server.service.session(session.session)
    assert seen["result"] == failure | {"job": "job-1", "warnings": []}
    killed = {"type": "killed", "result": "signal", "status": "KILL", "said": "oops"}
    report_end(session, "job-2", killed)
    assert server.service.session(session.session)["result"] == killed | {"job": "job-2"}
    end(server, session)


def test_the_services_refusals_are_the_agents_own_errors(server: Server, pc: Pc) -> None:
    session = arrive(server, pc, "backup", pc.name)
    store, known, unknown = store_of(session), cell(f"a{pc.name}"), cell(f"b{pc.name}")
    store.put(digest_of(known), make_frame(known))
    assert store.missing([digest_of(known), digest_of(unknown)]) == {digest_of(unknown)}
    with pytest.raises(ChunksLacking, match=digest_of(unknown)):
        store.publish(parse(manifest_of(pc.name, known, unknown)))
    with pytest.raises(StoreRefused, match=digest_of(unknown)[:12]):
        store.put(digest_of(unknown), make_frame(known))
    end(server, session)
    with pytest.raises(StoreRefused, match=f"The session of {pc.name} has ended") as caught:
        store.put(digest_of(unknown), make_frame(unknown))
    assert caught.value.remedy
    name, version = server.service.image(known)
    reading = arrive(server, pc, "verify", name)
    with pytest.raises(StoreRefused, match=f"not for {name}@20200101T000000Z"):
        store_of(reading).manifest(ImageRef(name, "20200101T000000Z"))
    assert store_of(reading).manifest(ImageRef(name, None)).version == version
    server.service.chunk_path(known).unlink()
    with pytest.raises(ImageDamaged, match=f"chunk {digest_of(known)} is missing"):
        store_of(reading).get(digest_of(known))
    end(server, reading)


def test_a_store_without_room_is_full(tmp_path: Path) -> None:
    (tmp_path / "pc").mkdir()
    pc, content = make_pc(tmp_path / "pc"), cell("no room")
    with serving(tmp_path, store_reserve_bytes=1 << 50) as server:
        store = store_of(arrive(server, pc, "backup", pc.name))
        with pytest.raises(StoreFull, match=r"1\.13 PB are kept in reserve"):
            store.put(digest_of(content), make_frame(content))


@pytest.mark.parametrize("sound", [True, False])
def test_the_services_own_reading_is_believed(server: Server, pc: Pc, sound: bool) -> None:
    content = cell(f"proven {pc.name}")
    name, version = server.service.image(content)
    if not sound:
        server.service.chunk_path(content).write_bytes(b"no frame")
    session = arrive(server, pc, "restore", name, full_check=True)
    store, said = store_of(session), []
    manifest = store.manifest(ImageRef(name, version))
    meter = Meter(said.append)
    with meter.phase("check", manifest.chunk_bytes):
        problems = store.prove(manifest, meter)
    assert [each.digest for each in problems] == ([] if sound else [digest_of(content)])
    assert not sound or said[-1].done == manifest.chunk_bytes
    end(server, session)


def test_who_is_not_expected_is_refused_in_words(server: Server, pc: Pc, tmp_path: Path) -> None:
    session = arrive(server, pc, "backup", pc.name)
    (tmp_path / "other").mkdir()
    other = make_pc(tmp_path / "other")
    with pytest.raises(CheckinRefused, match="refused the check-in") as caught:
        check_in(server.site, session.session, print, other.nonce, other.root)
    assert caught.value.remedy
    # The machine itself may have lost the answer: its nonce gets it the session again.
    again = check_in(server.site, session.session, print, pc.nonce, pc.root)
    assert replace(again, token="") == replace(session, token="")
    assert again.token != session.token
    end(server, session)


def test_one_that_stays_finds_its_next_session(server: Server, pc: Pc) -> None:
    told_to_stay = pc.root / "stay"
    session = arrive(server, pc, "backup", "ends-a")
    end(server, session)
    heard: list[str] = []
    assert stay(session, heard.append) == ""
    assert heard == ["the session has ended"]
    body = {"machine": pc.name, "macs": [pc.mac], "verb": "service"}
    wanted = server.service.admin.post("/v1/sessions", json=body).json()["id"]
    told_to_stay.touch()
    assert next_session(server.site, told_to_stay, print, pc.nonce, pc.root) == wanted
    assert check_in(server.site, wanted, print, pc.nonce, pc.root).verb == "service"


@pytest.mark.parametrize(("after", "leave"), [("as_found", "poweroff"), ("reboot", "reboot")])
def test_one_that_was_woken_knows_how_to_leave(
    server: Server, pc: Pc, known: str, after: str, leave: str
) -> None:
    runner = Runner(server.service)
    assert order(server.service, known, after=after).status_code == 201
    [job] = runner.poll()["begin"]
    assert runner.open_session(job).status_code == 201
    session = boot(server, pc)
    assert not session.postponable and not postpone(session)
    runner.end(job["id"], "failed")
    assert stay(session, print) == leave


def test_planned_work_is_done_another_time(server: Server, pc: Pc, known: str) -> None:
    runner = Runner(server.service)
    write(server.service, nightly=NIGHTLY | window() | {"machines": [known]})
    [job] = begin(runner)
    assert runner.open_session(job).status_code == 201
    session = boot(server, pc)
    assert session.postponable and postpone(session)
    assert runner.poll()["stop"] == [job["id"]]
    assert stay(session, print) == "poweroff"
    write(server.service)
