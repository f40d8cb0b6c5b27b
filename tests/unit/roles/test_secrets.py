# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine is told a secret: one that an administrator has stood behind before."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ...fixtures import warm_python

pytestmark = pytest.mark.plays
ROOT = Path(__file__).resolve().parents[3]
PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            # As what a module returns: data that nothing evaluates.
            {"ansible.builtin.command": {"argv": ["cat", "waited.json"]}, "register": "read"},
            {
                "ansible.builtin.set_fact": {
                    "__imaging_session_waited": "{{ read.stdout | from_json }}"
                }
            },
            {
                "ansible.builtin.import_role": {
                    "name": "slipway.imaging.imaging_session",
                    "tasks_from": "trust",
                }
            },
        ],
    }
]
SAID = {
    "vendor": "Acme",
    "model": "{{ lookup('pipe', 'id') }} \x1b[2J",
    "serial": "S-1",
    "uuid": "b9a6e3a0-93f4-4c43-9a55-0c1b7a0de001",
}


def play(
    tmp_path: Path, session: dict[str, Any], **variables: Any
) -> subprocess.CompletedProcess[str]:
    waited = tmp_path / "waited.json"
    waited.write_text(json.dumps({"session": session}))
    (tmp_path / "play.json").write_text(json.dumps(PLAY).replace("waited.json", str(waited)))
    known = {
        "imaging_session_verb": "backup",
        "imaging_session_image": "pc1",
        "ansible_python_interpreter": warm_python.for_modules(),
    }
    words = [
        "-c",
        "local",
        "-i",
        "localhost,",
        str(tmp_path / "play.json"),
        "-e",
        json.dumps(known | variables),
    ]
    project = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    environment = {**os.environ, **project}
    return subprocess.run(
        [*warm_python.ansible(environment), *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("identity", "variables", "says"),
    [
        ("known", {"imaging_session_secrets": True}, ""),
        ("new", {"imaging_session_secrets": True}, "checked in for the first time"),
        ("none", {"imaging_session_secrets": True}, "imaging_session_secrets_to: any"),
        (None, {"imaging_session_secrets": True}, "imaging_session_secrets_to: any"),
        ("new", {"imaging_session_secrets": False}, ""),
        ("none", {"imaging_session_secrets": True, "imaging_session_secrets_to": "any"}, ""),
    ],
)
def test_a_secret_is_for_a_machine_that_is_known(
    tmp_path: Path, identity: str | None, variables: dict[str, Any], says: str
) -> None:
    session = {"identity": identity, "address": "10.0.0.66", "hardware": SAID}
    done = play(tmp_path, session, **variables)
    said = " ".join(done.stdout.split())
    assert (done.returncode == 0) is not bool(says), done.stdout + done.stderr
    assert says in said
    if says:
        assert "10.0.0.66 says that it is a Acme" in said
        assert "serial number S-1" in said
        assert "uid=" not in said
        assert "\x1b" not in done.stdout


def test_a_pc_that_says_nothing_at_all(tmp_path: Path) -> None:
    done = play(tmp_path, {"address": None}, imaging_session_secrets=True)
    assert done.returncode == 2
    assert "imaging_session_secrets_to" in done.stdout
