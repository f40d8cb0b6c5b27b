# SPDX-License-Identifier: GPL-3.0-or-later
"""A choice or an order, the real service, the real runner, and the project's own playbooks.

Only the PC is missing: it checks in without an address, so Ansible can't reach it, and the job
must end with that.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway_runner.__main__ import make
from slipway_runner.play import end_leftovers, variables
from slipway_runner.settings import Settings

from ..plugins.pc import SSHD, make_key, running_pc
from .choosing import Chooser, make_chooser, order
from .conftest import ADDRESS, HOST_KEY, ROOT, Machine, Service, cell, ticket_in

pytestmark = pytest.mark.plays


def deploy(service: Service, pc: Chooser, folder: Path, **more: Any) -> Settings:
    """Put code and inventory where the role would."""
    path = ROOT / "roles/_common/files/pack_code.py"
    spec = importlib.util.spec_from_file_location("pack_code", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tarfile.open(fileobj=io.BytesIO(module.pack(ROOT, "runner"))) as tar:
        tar.extractall(folder / "release")
    (folder / "project").symlink_to("release")
    inventory = folder / "inventory"
    (inventory / "machines.d").mkdir(parents=True)
    local = {"ansible_connection": "ansible.builtin.local", "ansible_become": False}
    local["ansible_python_interpreter"] = sys.executable
    hosts = {"image_servers": {"hosts": {"img": local}}}
    (inventory / "hosts.yml").write_text(json.dumps(hosts))
    (inventory / "machines.yml").write_text("plugin: slipway.imaging.machines\n")
    told = {
        "machine_macs": [pc.mac],
        "machine_image_server": "img",
        "imaging_session_server_python": sys.executable,
    } | more
    machine = {"name": pc.name, "groups": [], "vars": told}
    (inventory / "machines.d" / f"{pc.name}.json").write_text(json.dumps(machine))
    (folder / "state").mkdir()
    return Settings(
        socket=service.folder / "runner",
        project=folder / "project",
        inventory=inventory,
        state=folder / "state",
    )


def test_from_the_choice_to_the_end_of_the_playbook(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = own_service()
    pc = make_chooser(service)
    runner = make(deploy(service, pc, tmp_path / "deployed"))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    job = pc.choose("backup").json()["job"]["id"]
    session = ""
    deadline = time.monotonic() + 300
    while (seen := pc.look())["state"] != "ended" and time.monotonic() < deadline:
        if seen["session"] and not session:
            session = seen["session"]
            assert pc.check_in(session, address="").status_code == 200
        time.sleep(0.2)
    runner.drain()
    thread.join(60)
    assert not thread.is_alive()
    assert session, "the playbook opened no session for the job"
    assert seen["outcome"] == "failed"
    assert "no address" in seen["message"]
    assert job in seen["remedy"]
    ended = service.session(session)
    assert (ended["job"], ended["verb"], ended["outcome"]) == (job, "backup", "failed")
    output = (tmp_path / "deployed/state/output" / f"{job}.txt").read_text()
    assert "Wake the machine and wait until it has checked in" in output
    assert "PLAY RECAP" in output


# What the agent says in the end.
SAVED = {
    "type": "result",
    "verb": "backup",
    "changed": True,
    "read": 1,
    "sent": 1,
    "written": 0,
    "seconds": 1.0,
    "disks": [],
}
# Magic packets go nowhere: this host's loopback hears them.
LOOPBACK = {"imaging_session_wake_interface": "lo", "imaging_session_wake_interval": 1}


def follow(service: Service, job: str, each: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Look at a job until it has ended; each look is passed on."""
    deadline = time.monotonic() + 300
    while True:
        seen: dict[str, Any] = service.admin.get(f"/v1/jobs/{job}").json()
        each(seen)
        if seen["state"] == "ended":
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)


def pending(service: Service) -> list[dict[str, Any]]:
    found = service.admin.get("/v1/sessions").json()["sessions"]
    return [each for each in found if each["state"] != "ended"]


def test_an_ordered_job_boots_its_pc(own_service: Callable[..., Service], tmp_path: Path) -> None:
    """The PC fetches its boot script and checks in; Ansible can't reach it, and says so."""
    service = own_service()
    pc = make_chooser(service)
    runner = make(deploy(service, pc, tmp_path / "deployed", **LOOPBACK))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    job = order(service, pc.name).json()["id"]
    arrived = False

    def boot(seen: dict[str, Any]) -> None:
        nonlocal arrived
        if arrived or not seen["session"]:
            return
        script = service.http.get(
            f"/boot/{pc.mac.replace(':', '-')}.ipxe", headers={"X-Real-IP": ""}
        )
        report = {"session": seen["session"], "macs": [pc.mac], "host_key": HOST_KEY}
        report |= {"agent_version": "0.1.0", "ticket": ticket_in(script.text)}
        assert service.http.post("/v1/checkin", json=report).status_code == 200
        arrived = True

    ended = follow(service, job, boot)
    runner.drain()
    thread.join(60)
    assert arrived
    assert ended["outcome"] == "failed" and "no address" in ended["message"]
    output = (tmp_path / "deployed/state/output" / f"{job}.txt").read_text()
    assert "See whether the machine is on" in output
    assert service.session(ended["session"])["outcome"] == "failed"
    assert pending(service) == []


def test_a_pc_that_does_not_come_is_given_up(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = own_service()
    pc = make_chooser(service)
    told = LOOPBACK | {"imaging_session_wake_timeout": 5}
    runner = make(deploy(service, pc, tmp_path / "deployed", **told))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    job = order(service, pc.name).json()["id"]
    ended = follow(service, job, lambda _: None)
    waking = follow(service, order(service, pc.name, "wake").json()["id"], lambda _: None)
    runner.drain()
    thread.join(60)
    assert ended["outcome"] == "abandoned" and "did not boot" in ended["message"]
    assert waking["outcome"] == "done" and waking["session"] is None
    assert pending(service) == []
    assert pc.boot().status_code == 404, "it boots into its menu"


@pytest.mark.skipif(os.geteuid() != 0 or SSHD is None, reason="sshd lets in its own user alone")
def test_an_ordered_backup_of_a_pc_that_was_off(
    own_service: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole thread; its agent alone is played, behind a real sshd. It is off afterwards."""
    service = own_service()
    chooser = make_chooser(service)
    login = make_key(tmp_path / "login")
    runner = make(deploy(service, chooser, tmp_path / "deployed", **LOOPBACK))
    with running_pc(tmp_path / "pc", login) as pc:
        # An sshd of a test has a port of its own.
        here = {"ansible_port": pc.port, "ansible_ssh_private_key_file": str(login)}
        monkeypatch.setattr(
            "slipway_runner.play.variables",
            lambda job, settings: {**variables(job, settings), **here},
        )
        pc.module_says({"unit": "slipway-job-1", "changed": True})
        machine = Machine(service, chooser.name, chooser.mac, "")
        thread = threading.Thread(target=runner.run, daemon=True)
        thread.start()

        said: list[str] = []

        def boot_and_work(seen: dict[str, Any]) -> None:
            if machine.session and pc.job and not said:
                version = machine.publish(cell("ordered")).json()["version"]
                said.append(version)
                result = SAVED | {"image": chooser.name, "version": version, "job": pc.job}
                machine.request("POST", "/v1/session/result", json=result)
            if machine.session or not seen["session"]:
                return
            machine.session = seen["session"]
            key = " ".join(pc.host_key.split()[:2])
            script = f"/boot/{chooser.mac.replace(':', '-')}.ipxe"
            got = service.http.get(script, headers={"X-Real-IP": pc.address}).text
            ticket = ticket_in(got)
            assert machine.check_in(pc.address, host_key=key, ticket=ticket).status_code == 200
            machine.put(cell("ordered"))

        job = order(service, chooser.name).json()["id"]
        ended = follow(service, job, boot_and_work)
        runner.drain()
        thread.join(60)
        farewells = [text for kind, text in pc.commands if kind == "farewell"]
    output = (tmp_path / "deployed/state/output" / f"{job}.txt").read_text()
    assert ended["outcome"] == "done", output
    assert len(farewells) == 1 and "systemctl poweroff" in farewells[0]
    assert service.session(machine.session)["outcome"] == "done"
    versions = service.admin.get(f"/v1/images/{chooser.name}").json()["versions"]
    assert len(versions) == 1
    assert pending(service) == []
    assert chooser.boot().status_code == 404, "its next boot shows its menu"


def runner_process(settings: Settings, folder: Path) -> subprocess.Popen[bytes]:
    """The runner as systemd starts it."""
    known = {
        key: str(getattr(settings, key)) for key in ("socket", "project", "inventory", "state")
    }
    (folder / "runner.json").write_text(json.dumps(known))
    words = [sys.executable, "-P", "-m", "slipway_runner", "--config", str(folder / "runner.json")]
    project = settings.project.resolve()
    path = {"PYTHONPATH": f"{project}/lib:{project}/.collections"}
    return subprocess.Popen(words, cwd=folder, env=os.environ | path, start_new_session=True)


# What the service knows when the runner is killed.
STEPS: dict[str, Callable[[dict[str, Any], dict[str, Any]], bool]] = {
    "it has the job": lambda job, _: job["state"] == "running",
    "its session is open": lambda _, session: bool(session),
    "the script is fetched": lambda _, session: bool(session and session["boot_script_served"]),
    "the PC is there": lambda _, session: bool(session and session["state"] == "checked_in"),
}
FIRST, *OTHERS = STEPS


@pytest.mark.parametrize("step", [pytest.param(FIRST, marks=pytest.mark.slow), *OTHERS])
def test_a_runner_that_is_killed_leaves_no_session(
    own_service: Callable[..., Service], tmp_path: Path, step: str
) -> None:
    """Its playbook lives on for a while, as where the power of a part fails, and opens none."""
    service = own_service(runner_silent_seconds=10)
    pc = make_chooser(service)
    settings = deploy(service, pc, tmp_path / "deployed", **LOOPBACK)
    runner = runner_process(settings, tmp_path)
    job = order(service, pc.name).json()["id"]
    killed = False

    def kill(seen: dict[str, Any]) -> None:
        nonlocal killed
        session = service.session(seen["session"]) if seen["session"] else {}
        if killed or not STEPS[step](seen, session):
            if session and not killed and step not in ("it has the job", "its session is open"):
                boot(session)
            return
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait()
        killed = True

    def boot(session: dict[str, Any]) -> None:
        script = pc.boot()
        if step == "the PC is there" and script.status_code == 200:
            report = {"session": session["id"], "macs": [pc.mac], "host_key": HOST_KEY}
            report |= {"agent_version": "0.1.0", "ticket": ticket_in(script.text)}
            service.http.post("/v1/checkin", json=report, headers={"X-Real-IP": ADDRESS})

    try:
        ended = follow(service, job, kill)
        assert killed
        assert ended["outcome"] == "failed" and "runner" in ended["message"]
        assert pending(service) == []
        # For as long as the orphaned playbook is there.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert pc.boot().status_code == 404, "its user would get into the environment"
            time.sleep(0.5)
        assert pending(service) == []
    finally:
        runner.kill()
        runner.wait()
        end_leftovers(job)
