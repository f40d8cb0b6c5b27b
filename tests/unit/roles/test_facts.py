# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache of facts that lies: what decides is asked in this run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.plays

ROOT = Path(__file__).resolve().parents[3]
LIE = "last-months-server"
PACKAGE = "slipway-no-such-package"
CACHED = {
    "ansible_hostname": LIE,
    "ansible_os_family": "Debian",
    "ansible_service_mgr": "systemd",
    "ansible_architecture": LIE,
    "ansible_processor_vcpus": 999,
    "ansible_python": {"version": {"major": 3, "minor": 99}},
    "ansible_interfaces": ["lie0"],
    "ansible_packages": {key: [{"version": "1"}] for key in (PACKAGE, f"memtest-{PACKAGE}")},
    "ansible_getent_group": {"slipway": ["x", "999", ""]},
    "module_setup": True,
}
# What each role installs, and what it must know to get there.
ROLES: dict[str, dict[str, Any]] = {
    "image_server": {"_image_server_packages": [PACKAGE]},
    "job_runner": {"_job_runner_packages": [PACKAGE]},
    "pxe_server": {"_pxe_server_packages": [PACKAGE]},
    "boot_menu": {
        "_boot_menu_packages": [f"memtest-{PACKAGE}"],
        "__boot_menu_read": {"needs": {"memtest": True, "grub": False}},
    },
}
# They ask alike: `make test` tries one.
_FIRST, *_OTHERS = ROLES
INSTALLING = [_FIRST, *(pytest.param(role, marks=pytest.mark.slow) for role in _OTHERS)]
PLAY = """
- hosts: img
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.include_role:
            name: slipway.imaging.{role}
            tasks_from: {tasks}
      always:
        - ansible.builtin.copy:
            content: "{{{{ ansible_facts | to_json }}}}"
            dest: "{{{{ out }}}}"
            mode: "0644"
          check_mode: false
"""


def ansible(folder: Path, text: str, *arguments: str) -> str:
    """Run a play with the folder's cache of facts; return what Ansible said."""
    (folder / "play.yml").write_text(text)
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "cache"),
        "ANSIBLE_GATHERING": "smart",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "img,", *arguments]
    done = subprocess.run(
        [*command, str(folder / "play.yml")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of last month left."""
    folder = tmp_path_factory.mktemp("facts")
    task = {"ansible.builtin.set_fact": {"cacheable": True, **CACHED}}
    said = ansible(folder, json.dumps([{"hosts": "img", "gather_facts": False, "tasks": [task]}]))
    assert LIE in "".join(path.read_text() for path in (folder / "cache").iterdir()), said
    return folder / "cache"


def play(
    folder: Path, cache: Path, role: str, tasks: str, *arguments: str, **variables: Any
) -> tuple[str, Any]:
    """Run a part of a role with the lying cache; return what Ansible said and the facts."""
    shutil.copytree(cache, folder / "cache")
    known = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "image_server_address": "192.0.2.1",
        "pxe_server_interface": "lie0",
        "pxe_server_dhcp_mode": "none",
        "out": str(folder / "facts.json"),
    }
    text = PLAY.format(role=role, tasks=tasks)
    said = ansible(folder, text, *arguments, "-e", json.dumps(known | variables))
    return said, json.loads((folder / "facts.json").read_text())


@pytest.mark.parametrize("role", INSTALLING)
def test_whether_a_package_is_there_is_asked_in_this_run(
    tmp_path: Path, cache: Path, role: str
) -> None:
    said, facts = play(tmp_path, cache, role, "install", "--check", **ROLES[role])
    assert "Install what is missing" in said
    assert "fatal: [img]: FAILED!" in said, said
    assert PACKAGE not in facts["packages"]


@pytest.mark.parametrize("role", INSTALLING[:3])
def test_what_the_server_is_is_asked_in_this_run(tmp_path: Path, cache: Path, role: str) -> None:
    _, facts = play(tmp_path, cache, role, "preflight")
    assert {facts["hostname"], facts["architecture"]} & {LIE} == set()
    assert facts["processor_vcpus"] != 999
    assert "lie0" not in facts["interfaces"]


def test_a_service_that_is_gone_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    said, _ = play(tmp_path, cache, "boot_menu", "preflight")
    if subprocess.run(
        ["getent", "group", "slipway"], check=False, stdout=subprocess.DEVNULL
    ).returncode:
        assert "Run playbooks/site.yml for img first" in said
