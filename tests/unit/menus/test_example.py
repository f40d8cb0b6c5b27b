# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventory is the menu that the README explains; Ansible itself renders it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("example")]

ROOT = Path(__file__).resolve().parents[3]


def ansible(playbook: str, inventory: str | Path, *arguments: str) -> str:
    """Run a playbook without any host being reached; return all that it said."""
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000"}
    environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, "-i", str(inventory), f"playbooks/{playbook}.yml", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """The previews of the example, by host."""
    said = ansible("menu_preview", "inventory/example")
    assert "failed=0" in said
    blocks = said.split("ok: [")[1:]
    return {block.split("]")[0]: block for block in blocks if "+---" in block}


def test_the_example_has_two_groups_and_one_exception(shown: dict[str, str]) -> None:
    assert set(shown) == {"pc11", "pc12", "pc21", "imgserver"}
    for name in ("pc11", "pc12"):
        assert "> Boot the local disk" in shown[name]
        assert "Restore this PC" in shown[name]
    assert "Back up this PC" not in shown["pc11"] + shown["pc21"]
    assert "back-up: saves the disks as a new version of pc12" in shown["pc12"]
    assert "asks for a password" in shown["pc12"]
    assert "Restore this PC" not in shown["pc21"]
    assert "Register this machine" in shown["imgserver"]


def test_the_readme_shows_the_files_of_the_example() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("group_vars/machines.yml", "group_vars/room_b.yml", "host_vars/pc12.yml"):
        variables = yaml.safe_load((ROOT / "inventory/example" / name).read_text())
        for key in variables:
            if key.startswith(("boot_menu_", "menu_")):
                assert f"{key}:" in readme, f"{name}: {key}"
        assert name in readme


WRONG = """
image_servers:
  hosts:
    img:
      ansible_connection: local
      ansible_python_interpreter: /usr/bin/python3
      ansible_become: false
      image_server_address: 192.0.2.1
machines:
  hosts:
    pc1: {machine_macs: ["52:54:00:77:00:01"], boot_menu_itmes: []}
    pc2: {machine_macs: ["52:54:00:77:00:02"], boot_menu_default: nosuch}
    pc3: {machine_macs: ["52:54:00:77:00:03"], boot_menu_title: "{{ room }}"}
    pc4: {machine_macs: ["52:54:00:77:00:04"], boot_menu_items: [{id: x, action: backup, titel: y}]}
"""


def test_every_mistake_of_an_inventory_is_said_before_anything_is_written(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(WRONG)
    said = ansible("menus", inventory)
    for text in (
        "pc1: Role boot_menu has no boot_menu_itmes. Remedy: Did you mean boot_menu_items?",
        "The menu of pc2: no item has the id of the default, 'nosuch'.",
        "pc3: its variables can't be read: 'room' is undefined",
        "The menu of pc4: item 1 has no titel. Remedy: Did you mean title?",
        "No menu was changed.",
    ):
        assert text in said
    assert "Publish" not in said
