# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible itself makes of the playbooks: refusals before anything is changed, and the docs."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from ...fixtures import warm_python

pytestmark = pytest.mark.plays

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))

INVENTORY = """
image_servers:
  hosts:
    img:
      ansible_connection: local
      ansible_python_interpreter: PYTHON
      image_server_address: 192.0.2.1
machines:
  hosts:
    pc1: {machine_macs: ["52:54:00:77:00:01"]}
    pc2: {machine_macs: [52:54:00:12:34:56]}
    pc3: {}
    "{{ 1 }}": {machine_macs: ["52:54:00:77:00:01"]}
  vars:
    imaging_session_admin_socket: /nonexistent/admin.sock
"""


def ansible(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000"}
    environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    command = [*warm_python.ansible(environment, program), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(INVENTORY.replace("PYTHON", warm_python.for_modules()))
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("backup -l pc1,nosuch", ["Unknown machine: nosuch"]),
        ("backup -l all", ['not "all"']),
        ("backup -l pc1,pc2 -e image=x", ["can't be saved under one image name"]),
        ("restore -l pc1", ["Say which image"]),
        ("restore -e image=pc1", ["wants to be told which machines"]),
        ("wake -l img", ["No machine is selected"]),
        ("restore -e image=pc1 -l 'machines:!pc1l'", ["!pc1l (did you mean pc1"]),
        ("restore -e image=pc1 -l '!img'", ['not "!img", which selects all 4']),
        ("session_end -l '~.'", ['not "~.", which selects all 4']),
        ("boot_once -e boot_item=x -l ''", ['not "", which selects all 4']),
        ("backup -e ansible_limit=pc1", ['ansible_limit says "pc1"']),
        ("restore -e image=pc1 -l machines -l '!pc1'", ["--limit was given more than once"]),
        ("backup -Cvlpc1 --lim=pc2", ["--limit was given more than once"]),
        ("menus -l pc1", ['--limit "pc1" leaves no host of image_servers. Nothing was done']),
        (
            "wake -l !img",
            ["no usable MAC", "pc3 has no", "{{ 1 }} can't be the name of a machine"],
        ),
        ("backup -l pc1 -e image='{{ 1 }}'", ["1 can't be the name of an image"]),
        ("order -e verb=backup", ["wants to be told which machines"]),
        ("order -l machines -e verb=restore -e image=x", ['not "machines", which selects all']),
        ("order -l pc1", ["Say what to do, -e verb="]),
        ("order -l pc1 -e verb=erase", ['(now "erase")']),
        ("order -l pc1 -e verb=backup -e after=stay", ['(now "stay")']),
        ("order -l pc1 -e verb=restore", ["Say which image"]),
        ("order -l pc1,pc3 -e verb=backup", ["pc3 has no usable MAC"]),
        ("order -l pc1 -e verb=backup -e image=x@1", ["can't be the name of an image"]),
        (
            "order -l pc1 -e verb=backup -e machine_wake_relay=img",
            ["the job runner", "woken by img"],
        ),
        ("order -l pc1 -e verb=backup -e disk_keep_gaps=no,yes", ["disk_keep_gaps can't be meant"]),
    ],
)
def test_refusals(inventory: str, arguments: str, says: list[str]) -> None:
    playbook, *options = shlex.split(arguments)
    done = ansible("ansible-playbook", "-i", inventory, f"playbooks/{playbook}.yml", *options)
    assert done.returncode != 0
    assert [text for text in says if text not in done.stdout + done.stderr] == []


@pytest.mark.parametrize("playbook", ["restore -e image=x", "wake"])
def test_a_card_of_two_machines_takes_no_session(tmp_path: Path, playbook: str) -> None:
    (tmp_path / "hosts.yml").write_text(
        """
machines:
  hosts:
    pc4: {machine_macs: ["52:54:00:77:00:04"]}
    pc5: {machine_macs: [5254.0077.0004]}
    pc6: {machine_macs: [52:54:00:12:34:56]}
"""
    )
    name, *options = shlex.split(playbook)
    inventory = str(tmp_path / "hosts.yml")
    command = ("ansible-playbook", "-i", inventory, f"playbooks/{name}.yml", *options)
    done = ansible(*command, "-l", "pc5")
    assert done.returncode != 0
    assert "pc4 and pc5 both have the MAC address 52:54:00:77:00:04." in done.stdout + done.stderr
    # What is wrong with others keeps nobody from work.
    assert "both have" not in ansible(*command, "-l", "pc6").stdout


@pytest.mark.parametrize("playbook", ["restore", "backup", "site", "images", "register"])
def test_no_inventory_is_no_success(tmp_path: Path, playbook: str) -> None:
    (tmp_path / "empty.yml").write_text("machines: {hosts: {}}")
    inventory = str(tmp_path / "empty.yml")
    done = ansible("ansible-playbook", "-i", inventory, f"playbooks/{playbook}.yml", "-l", "pc1")
    assert done.returncode != 0
    assert "The inventory has no hosts. Nothing was done. Remedy:" in done.stderr


def test_every_module_has_documentation() -> None:
    done = ansible("ansible-doc", "--json", *(f"slipway.imaging.{name}" for name in MODULES))
    documents = json.loads(done.stdout)
    assert len(documents) == len(MODULES)
    for document in documents.values():
        attributes = document["doc"]["attributes"]
        assert all(attributes[key]["support"] for key in ("check_mode", "diff_mode", "idempotent"))
        assert document["examples"]
        assert document["return"]
