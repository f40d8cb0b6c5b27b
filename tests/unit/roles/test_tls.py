# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's certificates, made by Ansible: since when they are valid, when they are renewed."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ...fixtures import warm_python

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/image_server"
pytestmark = [
    pytest.mark.plays,
    pytest.mark.skipif(os.geteuid() != 0, reason="the keys are root's"),
]
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: [ROLE/vars/main.yml]
  vars:
    ansible_facts: {hostname: img}
  tasks:
    - ansible.builtin.import_tasks: ROLE/tasks/tls.yml
  handlers:
    - name: Reload nginx
      ansible.builtin.debug:
        msg: reloaded
"""


def play(folder: Path, *words: str, address: str = "10.77.0.1") -> str:
    (folder / "play.yml").write_text(PLAY.replace("ROLE", str(ROLE)))
    if not (folder / "templates").exists():
        (folder / "templates").symlink_to(ROLE / "templates")
    here = {
        "ansible_python_interpreter": warm_python.for_modules(),
        "image_server_address": address,
        "_image_server_tls": str(folder / "tls"),
        # A server with one card, whatever this host has.
        "_image_server_addresses": {"main": address, "apart": {}},
    }
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    command = [*warm_python.ansible(environment), "-i", "localhost,", "-e", json.dumps(here)]
    done = subprocess.run(
        [*command, *words, "play.yml"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said(folder: Path, which: str, *words: str) -> str:
    return subprocess.run(
        ["openssl", "x509", "-in", folder / f"tls/{which}.crt", "-noout", *words],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def date(folder: Path, which: str, end: str) -> datetime:
    text = said(folder, which, f"-{end}").strip().partition("=")[2]
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def test_certificates(tmp_path: Path) -> None:
    assert "reloaded" in play(tmp_path)
    now = datetime.now(UTC)
    for which, days in (("ca", 7300), ("server", 1825)):
        age = now - date(tmp_path, which, "startdate")
        assert timedelta(hours=23, minutes=50) < age < timedelta(days=1, minutes=10), which
        left = date(tmp_path, which, "enddate") - now
        assert timedelta(days=days - 1) < left < timedelta(days=days + 1), which
        key = tmp_path / f"tls/{which}.key"
        assert key.stat().st_mode & 0o777 == 0o600
    assert "CA:TRUE, pathlen:0" in said(tmp_path, "ca", "-ext", "basicConstraints")
    names = said(tmp_path, "server", "-ext", "subjectAltName,extendedKeyUsage,basicConstraints")
    assert all(word in names for word in ("IP Address:10.77.0.1, DNS:img", "CA:FALSE", "Server"))
    subprocess.run(
        ["openssl", "verify", "-CAfile", "ca.crt", "server.crt"], cwd=tmp_path / "tls", check=True
    )

    assert re.search(r"changed=0 ", play(tmp_path)), "a second run changes nothing"
    ca, server = said(tmp_path, "ca", "-serial"), said(tmp_path, "server", "-serial")
    assert "changed=0 " not in play(tmp_path, "--check", address="10.77.0.9")
    assert said(tmp_path, "server", "-serial") == server
    assert "reloaded" in play(tmp_path, address="10.77.0.9")
    assert "10.77.0.9" in said(tmp_path, "server", "-ext", "subjectAltName")
    assert said(tmp_path, "ca", "-serial") == ca, "the overlays' CA stays"
