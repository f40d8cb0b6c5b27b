# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin: what a machine's file may hold, and that nothing of it is evaluated."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils import _machine_file
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from hypothesis import given
from hypothesis import strategies as st

from ...fixtures import warm_python

ROOT = Path(__file__).resolve().parents[3]
MAC = "52:54:00:77:00:03"


def document(name: str = "pc3", groups: Any = (), **variables: Any) -> dict[str, Any]:
    return {"name": name, "groups": list(groups), "vars": {"machine_macs": [MAC], **variables}}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000"}
    environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    command = [*warm_python.ansible(environment, program), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def plain(value: Any) -> Any:
    """Values as they are: Ansible marks in its output what it will not evaluate."""
    if isinstance(value, dict):
        if set(value) == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        # Ansible adds the facts that a host keeps for itself, of which there are none.
        return {key: plain(item) for key, item in value.items() if key != "ansible_local"}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    (folder / "machines.d").mkdir(parents=True)
    (folder / "machines.yml").write_text("plugin: slipway.imaging.machines\n")
    (folder / "hosts.yml").write_text(
        "image_servers:\n  hosts:\n    img:\nmachines:\n  hosts:\n    pc1:\n"
        '      machine_macs: ["52:54:00:77:00:01"]\n'
    )
    return folder


def put(inventory: Path, name: str, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (inventory / f"machines.d/{name}.json").write_text(text)


@pytest.mark.plays
def test_machines_come_with_groups_and_variables(inventory: Path) -> None:
    put(inventory, "pc3", document(groups=["room_3"], machine_ip="10.77.0.23"))
    put(inventory, "pc4", document("pc4", machine_macs=["52-54-00-77-00-04"]))
    (inventory / "machines.d/.pc5.json.abc").write_text("{")
    (inventory / "machines.d/README.md").write_text("not one of them")
    done = run("ansible-inventory", "-i", str(inventory), "--list")
    assert "WARNING" not in done.stderr
    found = plain(json.loads(done.stdout))
    assert set(found["machines"]["hosts"]) == {"pc1", "pc3", "pc4"}
    assert found["room_3"]["hosts"] == ["pc3"]
    assert found["_meta"]["hostvars"]["pc3"] == {"machine_macs": [MAC], "machine_ip": "10.77.0.23"}


@pytest.mark.plays
def test_what_a_pc_said_is_never_evaluated(inventory: Path, tmp_path: Path) -> None:
    """The same value in a YAML inventory does create the file: so the canary can sing."""
    canary = tmp_path / "canary"
    template = "{{ lookup('ansible.builtin.pipe', 'touch " + str(canary) + "') }}"
    hostile = {"serial": template, "cards": [{template: template}, "!unsafe " + template]}
    put(inventory, "pc3", document(groups=["room_3"], machine_hardware=hostile))
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        """
- hosts: machines
  gather_facts: false
  tasks:
    - name: "Use it everywhere a variable is used"
      ansible.builtin.debug:
        msg: "{{ machine_hardware.serial }} {{ machine_hardware.cards | to_json }}"
      loop: "{{ [machine_hardware.serial] }}"
      when: machine_hardware is defined
      vars:
        again: "{{ machine_hardware }}"
    - ansible.builtin.copy:
        content: "{{ machine_hardware.serial }}"
        dest: "%s"
      delegate_to: localhost
      vars: {ansible_connection: local}
      when: machine_hardware is defined
"""
        % (tmp_path / "copied")
    )
    done = run("ansible-playbook", "-i", str(inventory), str(playbook), "-l", "pc3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not canary.exists()
    assert (tmp_path / "copied").read_text() == template
    listed = run("ansible-inventory", "-i", str(inventory), "--host", "pc3")
    assert plain(json.loads(listed.stdout))["machine_hardware"] == hostile
    # The counter-proof.
    (inventory / "hosts.yml").write_text(
        json.dumps({"machines": {"hosts": {"pc9": {"machine_hardware": hostile}}}})
    )
    run("ansible-playbook", "-i", str(inventory), str(playbook), "-l", "pc9")
    assert canary.exists()


@pytest.mark.plays
def test_a_broken_file_is_named_and_hides_no_other(inventory: Path) -> None:
    put(inventory, "pc3", document())
    put(inventory, "pc4", "{")
    put(inventory, "PC 5", document("PC 5"))
    put(inventory, "pc1", document("pc1"))
    put(inventory, "img", document("img"))
    put(inventory, "room", document("room", groups=["room"]))
    os.mkfifo(inventory / "machines.d/pc6.json")
    done = run("ansible-inventory", "-i", str(inventory), "--list")
    found = plain(json.loads(done.stdout))
    assert done.stderr.count("Remedy") == 6
    assert set(found["machines"]["hosts"]) == {"pc1", "pc3", "pc4", "pc6", "room"}
    variables = found["_meta"]["hostvars"]
    assert variables["pc3"] == {"machine_macs": [MAC]}
    assert set(variables["pc4"]) == {"machine_problem"}
    assert "already" in variables["pc1"]["machine_problem"]
    assert variables["pc1"]["machine_macs"] == ["52:54:00:77:00:01"]


@pytest.mark.plays
def test_without_the_projects_ansible_cfg_nothing_is_evaluated_either(
    inventory: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    template = "{{ lookup('ansible.builtin.pipe', 'touch " + str(canary) + "') }}"
    put(inventory, "pc3", document(machine_hardware={"vars": template, "hosts": {template: 1}}))
    config = tmp_path / "ansible.cfg"
    config.write_text(f"[defaults]\ncollections_path = {ROOT}/.collections\n")
    command = [str(Path(sys.executable).with_name("ansible-inventory"))]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(config)}
    done = subprocess.run(
        [*command, "-i", str(inventory), "--list"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pc3" in json.loads(done.stdout)["machines"]["hosts"]
    assert not canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "\xff",
        "[" * 100_000,
        json.dumps({**document(), "more": 1}),
        json.dumps(document("pc4")),
        json.dumps({**document(), "groups": ["image_servers"]}),
        json.dumps({**document(), "groups": ["{{ 1 }}"]}),
        json.dumps({**document(), "groups": "room"}),
        json.dumps({**document(), "vars": []}),
        json.dumps(document(ansible_connection="local")),
        json.dumps(document(vars={})),
        json.dumps(document(**{"{{ 1 }}": 1})),
        json.dumps(document(machine_macs=["x"])),
        json.dumps(document(machine_macs=[MAC, MAC.upper()])),
        json.dumps(document(machine_macs=[MAC, MAC.replace(":", "")])),
        json.dumps(document(machine_macs=["01:00:5e:00:00:01"])),
        json.dumps(document(machine_macs=[525400770003])),
        json.dumps(document(machine_macs={})),
        json.dumps(document(machine_hardware=float("nan"))),
        json.dumps(document(machine_hardware=[[[[[[[[[[1]]]]]]]]]])),
        json.dumps(document(machine_hardware="x" * _machine_file.LARGEST)),
    ],
)
def test_what_a_file_may_not_hold(content: str) -> None:
    with pytest.raises(SlipwayError) as refusal:
        _machine_file.parse("pc3", content.encode("latin-1"))
    assert refusal.value.remedy


@given(st.text(max_size=50), st.lists(st.text(max_size=20), max_size=3))
def test_what_is_written_is_what_is_read(serial: str, cards: list[str]) -> None:
    hardware = {"serial": serial.encode("utf-8", "replace").decode(), "cards": cards}
    machine = _machine_file.MachineFile("pc3", ("room_3",), {"machine_hardware": hardware})
    assert _machine_file.parse("pc3", _machine_file.render(machine)) == machine


@pytest.mark.parametrize("mac", ["52-54-00-77-00-0A", "5254.0077.000a", "52540077000A"])
def test_a_file_holds_mac_addresses_in_their_one_spelling(mac: str) -> None:
    machine = _machine_file.MachineFile(
        "pc3", (), {"machine_macs": [mac], "machine_ip": "10.0.0.1"}
    )
    content = _machine_file.render(machine)
    assert json.loads(content)["vars"]["machine_macs"] == ["52:54:00:77:00:0a"]
    written = json.dumps(document(machine_macs=[mac])).encode()
    assert _machine_file.parse("pc3", written).vars == {"machine_macs": ["52:54:00:77:00:0a"]}


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with pytest.raises(SlipwayError):
        _machine_file.parse("pc3", content)


@pytest.mark.plays
@pytest.mark.parametrize(
    ("role", "untouched"),
    [("boot_menu", "No menu was changed"), ("pxe_server", "menu and address stay")],
)
def test_no_role_takes_a_broken_file_for_a_machine_that_left(
    inventory: Path, tmp_path: Path, role: str, untouched: str
) -> None:
    put(inventory, "pc4", "{")
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        f"""
- hosts: img
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: {warm_python.for_modules()}
    pxe_server_interface: lo
    pxe_server_dhcp_range: {{first: 192.0.2.10, last: 192.0.2.20}}
  tasks:
    - ansible.builtin.include_role:
        name: slipway.imaging.{role}
        tasks_from: preflight
"""
    )
    server = ("-e", "image_server_address=192.0.2.1")
    done = run("ansible-playbook", "-i", str(inventory), str(playbook), *server)
    assert done.returncode != 0
    assert "pc4:" in done.stdout and untouched in " ".join(done.stdout.split())
