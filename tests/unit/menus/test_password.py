# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/menu_password.yml at a terminal, and where there is none."""

from __future__ import annotations

import base64
import hashlib
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from .test_example import ROOT, ansible

pytestmark = pytest.mark.plays


def at_a_terminal(password: str, *arguments: str) -> str:
    """Type a password as often as it is asked for; return all that the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_NOCOLOR="1")
        program = Path(sys.executable).with_name("ansible-playbook")
        os.execv(program, [str(program), "playbooks/menu_password.yml", *arguments])
    shown, asked = b"", 0
    while True:
        try:
            got = os.read(terminal, 4096)
        except OSError:
            break
        shown += got
        prompts = len(re.findall(rb"assword \[\]: ", shown))
        if prompts > asked:
            asked = prompts
            os.write(terminal, password.encode() + b"\n")
        if not got:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode()


def test_a_typed_password_becomes_a_hash_and_is_never_shown() -> None:
    password = "{{ 6 * 7 }} ü"
    shown = at_a_terminal(password)
    found = re.search(r"password_hash: scrypt\$(\d+)\$(\d+)\$(\d+)\$(\S+)\$([^\s']+)", shown)
    assert found, shown
    n, r, p = (int(field) for field in found.group(1, 2, 3))
    salt, digest = (base64.b64decode(field) for field in found.group(4, 5))
    assert hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=32) == digest
    assert password not in shown
    assert "42" not in shown.replace(found[0], "")


def test_what_the_pcs_keyboards_cannot_type_is_said(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(
        "machines:\n  hosts:\n    pc1: {machine_keyboard: de}\n    pc2: {machine_keyboard: pl}\n"
    )
    shown = at_a_terminal("łódź", "-i", str(hosts))
    assert "machine_keyboard de have no key for these of its characters: łóź" in shown
    assert "machine_keyboard pl have" not in shown
    assert "password_hash: scrypt$" in shown
    assert "have no key" not in at_a_terminal("fine", "-i", str(hosts))


def test_without_a_terminal_nothing_is_hashed() -> None:
    said = ansible("menu_password", "inventory/example")
    assert "Run this playbook at a terminal" in said
    assert "scrypt" not in said
