# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile registrations by the thousand, from the bytes on the wire to what Ansible renders.

A seeded generator puts something hostile into every field of a report; each report goes the whole
way that a PC's words go: the service's model, its queue, the plan, the machine's file, and at the
end Ansible itself with the roles' own templates. `make fuzz` tries a hundred thousand.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.filter.registration_plan import registration_plan
from ansible_collections.slipway.imaging.plugins.module_utils import _machine_file, _names
from pydantic import ValidationError
from slipway_server.api.models.registrations import RegistrationRequest, RegistrationView
from slipway_server.base.errors import ServiceError
from slipway_server.registrations.registrations import Registrations

from ..fixtures import warm_python

pytestmark = pytest.mark.plays

ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("SLIPWAY_FUZZ", "4000"))
SAMPLE = 150
LIMIT = 50
SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SAFE_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class NoDisk:
    """Stands in for Rows, which would sync the disk a hundred thousand times."""

    async def put(self, key: str, body: dict[str, Any], drop: Iterable[str] = ()) -> None:
        json.dumps(body).encode()

    async def drop(self, keys: Iterable[str]) -> None:
        pass

    def load(self) -> dict[str, dict[str, Any]]:
        return {}


class Hostile:
    """Makes reports; the same seed makes the same ones."""

    def __init__(self, canary: Path) -> None:
        self.dice = random.Random(20260131)
        touch = f"touch {canary}"
        self.texts = [
            f"{{{{ lookup('ansible.builtin.pipe', '{touch}') }}}}",
            f"{{% set x = lookup('pipe', '{touch}') %}}",
            f"{{{{ '{touch}' | ansible.builtin.quote }}}}",
            f"!unsafe {touch}",
            f"!!python/object/apply:os.system ['{touch}']",
            f"$({touch})",
            f"`{touch}`",
            f"; {touch} #",
            f"| {touch}",
            f"&& {touch}",
            f"\n{touch}\n",
            f"'; {touch}; '",
            f'"; {touch}; "',
            "${net0/mac}",
            "#!ipxe\nshell",
            "shell",
            "chain http://evil/",
            "item x || shell",
            "dhcp-script=/tmp/x",
            "conf-file=/etc/passwd",
            "52:54:00:77:00:01,set:x,10.0.0.1",
            "; } location / { root /; }",
            "$request_uri",
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "' OR 1=1 --",
            "../../../etc/passwd",
            "..",
            "/",
            "\x00",
            "\x1b]0;x\x07\x1b[2J",
            "\u202e",
            "\ufeff",
            "\ud800",
            "\U0001f600" * 40,
            "x" * 129,
            "x" * 1_000_000,
            "__import__('os')",
            "all",
            "localhost",
            "image_servers",
            "img",
            "null",
            "-1",
            "",
        ]
        self.taken = [text for text in self.texts if text.isprintable() and len(text) <= 128]

    def words(self, chance: float) -> Any:
        """Hostile words that the service has to take, or, by chance, anything at all."""
        return self.maybe(self.dice.choice(self.taken), chance)

    def text(self) -> Any:
        dice = self.dice
        kind = dice.random()
        if kind < 0.7:
            # The very long ones are few, so that the rest is quick.
            text = dice.choice(self.texts)
            return text if len(text) < 1000 or dice.random() < 0.02 else text[:128]
        if kind < 0.85:
            return "".join(chr(dice.randrange(0x20, 0x3000)) for _ in range(dice.randrange(40)))
        return dice.choice([None, True, 0, -1, 1 << 70, 1.5, [], {}, ["x"], {"{{ 1 }}": 1}])

    def maybe(self, good: Any, chance: float) -> Any:
        return self.text() if self.dice.random() < chance else good

    def report(self, chance: float) -> bytes:
        dice = self.dice
        mac = f"52:54:00:{dice.randrange(256):02x}:{dice.randrange(256):02x}:01"
        disk = {key: self.words(chance) for key in ("path", "serial", "wwn", "model")}
        hardware = {key: self.words(chance) for key in ("vendor", "model", "serial", "cpu")}
        hardware |= {
            "uuid": self.maybe(f"{dice.getrandbits(32):08x}-0042-3510-8052-b4c04f564433", chance),
            "memory": self.maybe(1 << 30, chance),
            "firmware": self.maybe("uefi", chance),
            "disks": self.maybe([disk | {"size": self.maybe(1, chance)}], chance),
            "cards": self.maybe(
                [{"mac": self.maybe(mac, chance), "driver": self.words(chance)}], chance
            ),
        }
        body = {
            "macs": self.maybe([self.maybe(mac, chance)], chance),
            "name": self.maybe(None, chance),
            "hardware": self.maybe(hardware, chance),
            "agent_version": self.maybe("0.1.0", chance),
            "nonce": self.maybe(f"{dice.getrandbits(80):022}", chance),
        }
        content = json.dumps(body, ensure_ascii=dice.random() < 0.5)
        data = content.encode("utf-8", "surrogatepass")
        if dice.random() < chance:
            place = dice.randrange(len(data))
            data = data[:place] + bytes([dice.randrange(256)]) + data[place + dice.randrange(3) :]
        return data


def goes_in(queue: Registrations, data: bytes, number: int) -> dict[str, Any] | None:
    """Register; None when it is refused, and nothing but a refusal may happen."""
    try:
        report = RegistrationRequest.model_validate_json(data)
        found, _ = asyncio.run(
            queue.report(
                tuple(report.macs),
                report.name,
                report.hardware.model_dump(),
                report.agent_version,
                report.nonce,
                f"10.0.{number >> 8 & 255}.{number & 255}",
            )
        )
    except (ValidationError, ServiceError):
        return None
    view = queue.view(found)
    return json.loads(RegistrationView.model_validate(view).model_dump_json())


def comes_out(pc: dict[str, Any], taken: set[str]) -> _machine_file.MachineFile:
    """Approve; return the machine's file as the inventory reads it."""
    found = {"registrations": [pc], "identities": []}
    name = f"pc-{len(taken)}" if pc["name"] in taken else pc["name"]
    plan = registration_plan(found, [], taken, {"approve": {pc["id"]: name}, "into": "room_3"})
    assert not any(re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line) for line in plan["table"])
    new = plan["approve"][0]
    assert SAFE_NAME.fullmatch(new["name"])
    assert all(SAFE_MAC.fullmatch(mac) for mac in new["vars"]["machine_macs"])
    file = _machine_file.MachineFile(new["name"], tuple(new["groups"]), new["vars"])
    assert _machine_file.parse(file.name, _machine_file.render(file)) == file
    return file


PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: "{{ root }}/roles/pxe_server/vars/main.yml"
  tasks:
    - ansible.builtin.template:
        src: "{{ root }}/roles/pxe_server/templates/etc/slipway/dhcp-hosts.j2"
        dest: "{{ out }}/dhcp-hosts"
        mode: "0644"
    - ansible.builtin.debug:
        msg: "{{ hostvars[item].machine_hardware }} {{ hostvars[item].machine_serial | d('') }}"
      loop: "{{ groups['machines'] }}"
    - ansible.builtin.copy:
        content: "{{ _pxe_server_hosts | map(attribute='machine_hardware') | to_json }}"
        dest: "{{ out }}/all.json"
        mode: "0644"
"""


@pytest.mark.fuzz
def test_no_words_of_a_pc_are_more_than_words(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    clock = iter(range(10**9))
    queue = Registrations(NoDisk(), LIMIT, "pc-{serial}", 10**6, lambda: next(clock) * 7.0)  # type: ignore[arg-type]
    hostile, taken, kept = Hostile(canary), {"img", "localhost"}, []
    accepted = 0
    for number in range(COUNT):
        pc = goes_in(queue, hostile.report(0.05 if number % 2 else 0.01), number)
        if pc is None:
            continue
        accepted += 1
        assert len(queue.all()) <= LIMIT
        if pc["state"] == "waiting":
            file = comes_out(pc, taken)
            if len(kept) < SAMPLE:
                kept.append(file)
                taken.add(file.name)
    # The generator is only worth something when both happen often.
    assert COUNT * 0.2 < accepted < COUNT * 0.95
    assert not canary.exists()

    inventory, out = tmp_path / "inventory", tmp_path / "out"
    for folder in (inventory / "machines.d", out):
        folder.mkdir(parents=True)
    (inventory / "machines.yml").write_text("plugin: slipway.imaging.machines\n")
    macs: set[str] = set()
    for file in kept:
        if not macs & {*file.macs}:
            macs |= {*file.macs}
            _machine_file.create(inventory / f"machines.d/{file.name}.json", file)
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    command = [*warm_python.ansible(environment), "-i", inventory, tmp_path / "play.yml"]
    variables = [f"-e{key}={value}" for key, value in {"root": ROOT, "out": out}.items()]
    done = subprocess.run(
        [*command, *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not canary.exists()
    assert "touch" in (out / "all.json").read_text()
    hosts = (out / "dhcp-hosts").read_text().splitlines()[1:]
    assert len(hosts) == len(list((inventory / "machines.d").iterdir()))
    line = re.compile(rf"({SAFE_MAC.pattern},)+{SAFE_NAME.pattern}")
    assert [each for each in hosts if not line.fullmatch(each)] == []


@pytest.mark.parametrize("name", ["all", "localhost", "image_servers", "machines", "../x", "X"])
def test_names_that_no_machine_gets(name: str) -> None:
    assert not _names.is_name(name)
