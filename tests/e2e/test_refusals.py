# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input and broken images: one clear message with a remedy, non-zero, and nothing changed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import run_playbook

from .conftest import ansible_playbook
from .control import Bench, admin, versions

LAB_INVENTORY = ("-i", "inventory/lab", "-i", "tests/fixtures/strange_machines.yml")
OPEN_STATES = ("requested", "checked_in")


def open_sessions(server: Server) -> list[str]:
    _, answer = admin(server, "GET", "/v1/sessions")
    return [s["id"] for s in answer["sessions"] if s["state"] in OPEN_STATES]


@pytest.fixture
def untouched(lab: Lab, server: Server) -> Iterator[None]:
    """No PC was turned on, no session stayed, and the images are those of before."""
    since = lab.power_log_offset()
    images = admin(server, "GET", "/v1/images")
    yield
    assert [e for e in lab.power_events(since) if e.action == "turned on"] == []
    assert open_sessions(server) == []
    assert admin(server, "GET", "/v1/images") == images


REFUSED = {
    "unknown machine": (["backup.yml", "-l", "nosuch"], "nosuch"),
    "one known, one unknown": (["backup.yml", "-l", "pc1,nosuch"], "nosuch"),
    "machine without a MAC": (["backup.yml", "-l", "nomac"], "machine_macs"),
    "half a MAC": (["backup.yml", "-l", "badmac"], "52:54:00:77:00"),
    "no image named": (["restore.yml", "-l", "pc1"], "image="),
    "no machine named": (["restore.yml", "-e", "image=pc1"], "-l"),
    "unknown image": (["restore.yml", "-l", "pc1", "-e", "image=nosuch"], "nosuch"),
    "unknown version": (
        ["restore.yml", "-l", "pc1", "-e", "image=refusals@20200101T000000Z"],
        "20200101T000000Z",
    ),
    "path as image": (["backup.yml", "-l", "pc1", "-e", "image=../x"], "../x"),
    "option as image": (["backup.yml", "-l", "pc1", "-e", "image=-oProxyCommand=x"], "-oProxy"),
    "template as image": (["restore.yml", "-l", "pc1", "-e", "image={{ 1 }}"], "1"),
    "reserved name": (["backup.yml", "-l", "pc1", "-e", "image=all"], "all"),
    "one image for two": (["backup.yml", "-l", "pc1,pc2", "-e", "image=both"], "one image"),
}


@pytest.fixture(scope="module")
def image(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An image to name wrong versions of."""
    folder = tmp_path_factory.mktemp("image")
    bench = Bench(lab, folder, "bench")
    bench.enter("backup", "refusals")
    bench.work("backup", str(disk_of_noise(folder)), "--name", "refusals")
    bench.leave()


@pytest.mark.usefixtures("image", "untouched")
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.replace(" ", "-"))
def test_bad_input_is_refused_before_anything_happens(case: str) -> None:
    (playbook, *arguments), word = REFUSED[case]
    run = ansible_playbook(*LAB_INVENTORY, f"playbooks/{playbook}", *arguments)
    said = run.stdout + run.stderr
    assert run.returncode != 0, said
    assert word in said
    assert "Traceback" not in said


@pytest.mark.usefixtures("untouched")
def test_a_pc_that_never_wakes(lab: Lab) -> None:
    since = lab.power_log_offset()
    run = ansible_playbook(
        *LAB_INVENTORY,
        "playbooks/backup.yml",
        *("-l", "asleep", "-e", "imaging_session_wake_timeout=15"),
    )
    assert run.returncode != 0
    said = run.stdout + run.stderr
    # What was sent, from where, to whom.
    for word in ("52:54:00:77:00:99", lab.config.bridge, "wake"):
        assert word in said, said
    assert any(e.mac == "52:54:00:77:00:99" for e in lab.power_events(since))


def test_a_second_session_for_one_machine(lab: Lab, server: Server, pc1: Pc) -> None:
    body = {"machine": "pc1", "macs": list(pc1.macs), "verb": "backup", "image": "pc1"}
    status, session = admin(server, "POST", "/v1/sessions", body)
    assert status == 201
    since = lab.power_log_offset()
    run = ansible_playbook("-i", "inventory/lab", "playbooks/backup.yml", "-l", "pc1")
    assert run.returncode != 0
    assert session["id"] in run.stdout and "session_end.yml" in run.stdout
    assert open_sessions(server) == [session["id"]], "the refused run touched another's session"
    assert lab.power_events(since) == []
    ended = ansible_playbook("-i", "inventory/lab", "playbooks/session_end.yml", "-l", "pc1")
    assert ended.returncode == 0, ended.stdout
    assert open_sessions(server) == []


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(lab, tmp_path, "bench")
    yield bench
    bench.leave()


def disk_of_noise(folder: Path) -> Path:
    """A small disk whose chunks no other image shares."""
    path = folder / "noise.img"
    path.write_bytes(os.urandom(12 << 20))
    return path


def test_tokens_and_check_ins(bench: Bench, server: Server) -> None:
    bench.enter("backup", "tokens")
    granted = bench.session_file.read_text()
    token = granted.split('"token": "')[1].split('"')[0]
    assert bench.request("GET", "/v1/session", {}, token)[0] == 200
    assert bench.request("GET", "/v1/session", {}, "wrong")[0] == 401
    assert bench.request("GET", "/v1/session", {})[0] == 401
    # Another image, another verb.
    assert bench.request("POST", "/v1/images/pc1", {}, token)[0] == 403
    assert bench.request("GET", "/v1/chunks/" + "0" * 64, {}, token)[0] == 403
    assert bench.check_in(bench.session)[0] == 409
    _, session = admin(server, "GET", f"/v1/sessions/{bench.session}")
    assert session["refused_checkins"] == 1
    bench.leave()
    assert bench.request("GET", "/v1/session", {}, token)[0] in (401, 410)
    assert bench.check_in(bench.session)[0] == 410


def test_one_changed_byte_in_one_chunk(bench: Bench, server: Server, tmp_path: Path) -> None:
    name = f"flipped-{os.urandom(4).hex()}"
    bench.enter("backup", name)
    bench.work("backup", str(disk_of_noise(tmp_path)), "--name", name)
    bench.leave()
    store = server.root / "var/lib/slipway/store"
    (version,) = versions(server, name)
    newest = max(store.glob("chunks/??/??/*"), key=lambda path: path.stat().st_mtime_ns)
    frame = bytearray(newest.read_bytes())
    frame[len(frame) // 2] ^= 1
    newest.write_bytes(frame)

    found = run_playbook("images", variables={"image": name, "check": "true"}, quiet=True)
    assert found.returncode != 0
    assert newest.name in found.output.replace("\n", "")

    bench.enter("restore", name)
    target = tmp_path / "target.img"
    target.write_bytes(b"\xa5" * (12 << 20))
    agent = bench.agent("restore", name, str(target))
    said, _ = agent.communicate(timeout=120)
    assert agent.returncode != 0
    assert newest.name in said
    assert target.read_bytes() == b"\xa5" * (12 << 20)
    assert versions(server, name) == [version]
