# SPDX-License-Identifier: GPL-3.0-or-later
"""A choice, the real service, the real runner, and the project's own backup.yml as it is deployed.

Only the PC is missing: it checks in without an address, so Ansible can't reach it, and the job
must end with that.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway_runner.__main__ import make
from slipway_runner.settings import Settings

from .choosing import Chooser, make_chooser
from .conftest import ROOT, Service

pytestmark = pytest.mark.plays


def deploy(service: Service, pc: Chooser, folder: Path) -> Settings:
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
    }
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
