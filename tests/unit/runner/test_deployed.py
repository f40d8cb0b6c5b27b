# SPDX-License-Identifier: GPL-3.0-or-later
"""What is deployed is enough: the packed code and the rendered inventory play backup.yml."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.runner_machines import runner_machines

ROOT = Path(__file__).resolve().parents[3]
SERVERS = {"groups": {"image_servers": ["img", "img2"]}}


def packed(what: str) -> bytes:
    path = ROOT / "roles/_common/files/pack_code.py"
    spec = importlib.util.spec_from_file_location("pack_code", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data: bytes = module.pack(ROOT, what)
    return data


@pytest.fixture
def project(tmp_path: Path) -> Path:
    target = tmp_path / "release"
    with tarfile.open(fileobj=io.BytesIO(packed("runner"))) as tar:
        tar.extractall(target)
    assert packed("runner") == packed("runner")
    return target


def hostvars(**variables: Any) -> dict[str, Any]:
    return {"pc1": {"machine_macs": ["52:54:00:77:00:01"]} | SERVERS | variables}


@pytest.mark.plays
@pytest.mark.parametrize("verb", ["backup", "restore", "verify"])
def test_the_playbooks_find_everything(project: Path, tmp_path: Path, verb: str) -> None:
    inventory = tmp_path / "inventory"
    (inventory / "machines.d").mkdir(parents=True)
    (inventory / "hosts.yml").write_text("image_servers: {hosts: {img: }}\n")
    (inventory / "machines.yml").write_text("plugin: slipway.imaging.machines\n")
    for name, file in runner_machines(["pc1"], hostvars(), "img").items():
        (inventory / "machines.d" / name).write_text(file["content"])
    words = ["-m", "ansible", "playbook", "-i", str(inventory), "-l", "pc1", "-e", "image=x"]
    words += ["--list-tasks", str(project / "playbooks" / f"{verb}.yml")]
    found = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "ANSIBLE_CONFIG": str(project / "ansible.cfg"), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "Ask the service for a session" in found.stdout


@pytest.mark.plays
def test_the_runner_starts_from_what_is_packed(project: Path, tmp_path: Path) -> None:
    settings = {key: str(tmp_path) for key in ("socket", "project", "inventory", "state")}
    (tmp_path / "runner.json").write_text(json.dumps(settings))
    words = ["-P", "-m", "slipway_runner", "--check-config", "--config", tmp_path / "runner.json"]
    path = f"{project}/lib:{project}/.collections"
    subprocess.run(
        [sys.executable, *words], env={"PYTHONPATH": path}, cwd=tmp_path, check=True, text=True
    )


def test_only_what_a_playbook_needs_leaves_the_controller() -> None:
    given = hostvars(
        machine_ip="10.77.0.21",
        disk_targets={"disk0": "/dev/sda"},
        disk_luks_keys={"disk0:3": "secret"},
        imaging_session_wake_port=7,
        imaging_session_admin_socket="/x",
        ansible_password="secret",
        boot_menu_items=[],
    )
    [file] = runner_machines(["pc1"], given, "img").values()
    assert json.loads(file["content"]) == {
        "name": "pc1",
        "groups": [],
        "vars": {
            "disk_targets": {"disk0": "/dev/sda"},
            "imaging_session_wake_port": 7,
            "machine_image_server": "img",
            "machine_ip": "10.77.0.21",
            "machine_macs": ["52:54:00:77:00:01"],
        },
    }


def test_each_server_gets_its_own_machines() -> None:
    given = hostvars() | {"pc2": SERVERS | {"machine_image_server": "img2"}}
    assert list(runner_machines(["pc1", "pc2"], given, "img")) == ["pc1.json"]
    assert list(runner_machines(["pc1", "pc2"], given, "img2")) == ["pc2.json"]


def test_a_value_that_is_no_data_is_refused_by_name() -> None:
    with pytest.raises(AnsibleFilterError, match="pc1"):
        runner_machines(["pc1"], hostvars(disk_targets={1, 2}), "img")
