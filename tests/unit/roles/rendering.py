# SPDX-License-Identifier: GPL-3.0-or-later
"""The role pxe_server's own preflight and templates, run for servers that are only described."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ...fixtures import warm_python

ROOT = Path(__file__).resolve().parents[3]
DNSMASQ = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
FACTS = {
    "interfaces": ["lab0", "lab1"],
    "lab0": {"device": "lab0", "ipv4": {"address": "10.77.0.1", "netmask": "255.255.255.0"}},
    "lab1": {"device": "lab1", "ipv4": {"address": "10.78.0.1", "netmask": "255.255.255.0"}},
}
PLAY = """
- hosts: image_servers
  gather_facts: false
  tasks:
    - name: Run the role's own tasks
      block:
        - name: Stand in for the facts of a server
          ansible.builtin.set_fact:
            cacheable: true
            interfaces: "{{ facts.interfaces }}"
            lab0: "{{ facts.lab0 }}"
            lab1: "{{ facts.lab1 }}"
        - name: Preflight
          ansible.builtin.include_role:
            name: slipway.imaging.pxe_server
            tasks_from: preflight
            public: true
        # A template for each file would be eight modules for each server.
        - name: Render
          ansible.builtin.copy:
            content: >-
              {%- set texts = {} -%}
              {%- for each in files -%}
              {%- set text = lookup("ansible.builtin.template", "etc/" ~ each ~ ".j2") -%}
              {%- set _ = texts.update({each | basename: text}) -%}
              {%- endfor -%}
              {{ texts | to_json }}
            dest: "{{ out }}/{{ inventory_hostname }}.rendered"
            mode: "0644"
          vars:
            files:
              - slipway/dnsmasq.conf
              - slipway/dhcp-hosts
              - slipway/tftp.nft
              - slipway/grub-bios.cfg
      rescue:
        - name: Keep the refusal
          ansible.builtin.copy:
            content: "{{ ansible_failed_result | to_json }}"
            dest: "{{ out }}/{{ inventory_hostname }}.refused"
            mode: "0644"
"""


def run(folder: Path, playbook: str, *arguments: str) -> str:
    """Run a playbook against servers that are only described."""
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    command = [*warm_python.ansible(environment), "-i", "hosts.yml", playbook]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def render(
    folder: Path, servers: dict[str, dict[str, Any]], machines: dict[str, dict[str, Any]]
) -> None:
    """Leave SERVER.FILE for each file that a server would get, or SERVER.refused."""
    inventory = {
        "all": {
            "vars": {
                "ansible_connection": "local",
                "out": str(folder),
                "facts": FACTS,
                "ansible_python_interpreter": warm_python.for_modules(),
                "image_server_address": "10.77.0.1",
            }
        },
        "image_servers": {"hosts": servers},
        "machines": {"hosts": machines},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "play.yml").write_text(PLAY)
    (folder / "templates").symlink_to(ROOT / "roles/pxe_server/templates")
    run(folder, "play.yml")
    for made in folder.glob("*.rendered"):
        for name, text in json.loads(made.read_text()).items():
            made.with_suffix(f".{name}").write_text(text)
