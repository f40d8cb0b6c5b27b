# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the example says all that site.yml asks for, or site.yml says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ...fixtures import warm_python
from .rendering import ROOT, run

EXAMPLE = yaml.safe_load((ROOT / "inventory/example/group_vars/image_servers.yml").read_text())
SITE = yaml.safe_load((ROOT / "playbooks/site.yml").read_text())
KEY = "ssh-ed25519 " + "A" * 68 + " somebody"
PLAY = """
- hosts: image_servers
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.include_role:
            name: slipway.imaging.client_image
            tasks_from: preflight
      rescue:
        - ansible.builtin.debug:
            msg: "{{ ansible_failed_result.msg }}"
"""


def _roles() -> list[str]:
    """Those that run for each server."""
    always = [each["role"] for each in SITE[0]["roles"] if "when" not in each]
    return [name.removeprefix("slipway.imaging.") for name in always]


@pytest.mark.parametrize("role", _roles())
def test_the_example_says_what_a_role_must_be_told(role: str) -> None:
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"].get("options", {})
    needed = {name for name, option in options.items() if option.get("required")}
    # What one role must be told, another has a default for.
    assert needed <= EXAMPLE.keys()


def test_what_has_no_default_is_asked_for_before_anything_is_changed() -> None:
    first = [each["ansible.builtin.import_role"] for each in SITE[0]["pre_tasks"]]
    assert {"name": "slipway.imaging.client_image", "tasks_from": "preflight"} in first


@pytest.mark.plays
@pytest.mark.parametrize("home", ["with a key", "without one", "unsaid"])
def test_the_example_takes_the_key_of_who_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if home == "with a key":
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh/id_ed25519.pub").write_text(KEY + "\n")
    said = {} if home == "unsaid" else {"client_image_ssh_public_key"}
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": warm_python.for_modules(),
        **{name: EXAMPLE[name] for name in said},
    }
    (tmp_path / "hosts.yml").write_text(json.dumps({"image_servers": {"hosts": {"img": host}}}))
    (tmp_path / "play.yml").write_text(PLAY)
    text = run(tmp_path, "play.yml")
    assert ("rescued=0" in text) is (home == "with a key"), text
    if home != "with a key":
        assert "ssh-keygen -t ed25519" in text and "Nothing was changed." in text
