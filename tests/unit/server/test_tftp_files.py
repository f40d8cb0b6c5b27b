# SPDX-License-Identifier: GPL-3.0-or-later
"""What a boot loader finds that speaks TFTP alone: the files of pending sessions, and no others."""

from __future__ import annotations

import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway_server.sessions.session import Session
from slipway_server.sessions.tftp_files import TftpFiles

from .choosing import Runner, make_chooser
from .conftest import Service

MAC = "52:54:00:77:00:31"
OTHER = "52:54:00:77:00:32"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tftp"


@pytest.fixture
def service(own_service: Callable[..., Service], folder: Path) -> Service:
    return own_service(tftp_dir=str(folder))


def shown(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def line(session: str) -> str:
    return f"set slw_wish='slipway.session={session}'\n"


def test_every_card_of_a_pending_machine_has_a_file(service: Service, folder: Path) -> None:
    answer = service.ask(machine="pc1", macs=[MAC, OTHER], verb="backup", image="pc1")
    session = answer.json()["id"]
    assert shown(folder) == {f"{MAC}.cfg": line(session), f"{OTHER}.cfg": line(session)}
    # TFTP is served by a user of its own.
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir())


def test_the_session_of_a_job_has_no_file(service: Service, folder: Path) -> None:
    """Its machine has booted; after a power cut the file would repeat the job."""
    pc, runner = make_chooser(service), Runner(service)
    assert pc.choose("backup").status_code == 201
    [job] = runner.poll()["begin"]
    session = runner.open_session(job).json()["id"]
    assert shown(folder) == {}
    assert pc.check_in(session).status_code == 200


def test_the_file_goes_when_the_machine_is_there(service: Service, folder: Path) -> None:
    machine = service.machine(arrived=False, mac=MAC)
    assert shown(folder)
    assert machine.check_in().status_code == 200
    assert shown(folder) == {}


def test_the_file_goes_with_a_session_that_nobody_came_for(service: Service, folder: Path) -> None:
    machine = service.machine(arrived=False, mac=MAC)
    service.admin.delete(f"/v1/sessions/{machine.session}", params={"outcome": "cancelled"})
    assert shown(folder) == {}
    again = service.machine(arrived=False, mac=MAC, ttl_seconds=1)
    assert shown(folder) == {f"{MAC}.cfg": line(again.session)}
    assert service.session(again.session, wait=20)["outcome"] == "expired"
    assert shown(folder) == {}


@pytest.mark.plays
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_shows_what_is_pending_then(
    service: Service, folder: Path, number: signal.Signals
) -> None:
    pending = service.machine(arrived=False, mac=MAC)
    service.stop(number)
    (folder / f"{OTHER}.cfg").write_text("set slw_wish='of a session long past'\n")
    (folder / "half").write_text("half")
    service.start()
    assert shown(folder) == {f"{MAC}.cfg": line(pending.session)}


def test_a_session_whose_file_can_not_be_written_is_refused(service: Service, folder: Path) -> None:
    # A folder where the file would go: root writes through any mode.
    (folder / f"{MAC}.cfg").mkdir()
    answer = service.ask(machine="pc1", macs=[MAC], verb="backup", image="pc1")
    assert answer.status_code == 500
    assert "TFTP" in answer.json()["message"]
    (folder / f"{MAC}.cfg").rmdir()
    answer = service.ask(machine="pc1", macs=[MAC], verb="backup", image="pc1")
    assert answer.status_code == 201
    assert shown(folder) == {f"{MAC}.cfg": line(answer.json()["id"])}


def test_nothing_but_a_mac_becomes_a_name(folder: Path) -> None:
    session = Session(
        id="0" * 16,
        machine="pc1",
        macs=("../../x",),
        verb="backup",
        image="pc1",
        version=None,
        created=0.0,
        ttl_seconds=1,
    )
    with pytest.raises(ValueError, match="not a MAC address"):
        TftpFiles(folder).show([session])
    assert list(folder.iterdir()) == []


def test_without_a_folder_nothing_is_written(folder: Path) -> None:
    TftpFiles(None).show([])
    assert not folder.exists()
