# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose the folder of media is: that of who fetches, and no matter who configures the server."""

from __future__ import annotations

import getpass
import grp
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from ...fixtures import warm_python

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/restore_media"
pytestmark = pytest.mark.plays


def _play(folder: Path, keeps: bool) -> bool:
    """What `site.yml` does if ``keeps``, else what `restore_media.yml` does; whether it changes."""
    unit = {
        "src": str(ROLE / "templates/etc/systemd/system/slipway-media.service.j2"),
        "dest": str(folder / "slipway-media.service"),
    }
    tasks = [
        {
            "ansible.builtin.include_role": {
                "name": "slipway.imaging.restore_media",
                "tasks_from": "folder",
                "public": True,
            }
        },
        {"ansible.builtin.template": unit},
    ]
    play = {"hosts": "all", "gather_facts": False}
    block = {"block": tasks, "vars": {"_restore_media_keeps_group": keeps}}
    (folder / "play.yml").write_text(json.dumps([play | {"tasks": [block]}]))
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": warm_python.for_modules(),
    }
    facts = {
        "restore_media_server_folder": str(folder / "media"),
        "restore_media_reserve_bytes": 0,
        "_restore_media_user": getpass.getuser(),
    }
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"img": host}}}))
    words = ["-i", "hosts.yml", "play.yml", "-e", json.dumps(facts)]
    environment = os.environ | {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
    }
    done = subprocess.run(
        [*warm_python.ansible(environment), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return "changed=0" not in done.stdout


def _come(folder: Path, group: str) -> None:
    """Somebody of that group connects."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/id").write_text(f"#!/bin/sh\necho {group}\n")
    (folder / "bin/id").chmod(0o755)


@pytest.mark.slow
def test_who_configures_the_server_takes_the_folder_from_nobody(tmp_path: Path) -> None:
    own = grp.getgrgid(os.getgid()).gr_name
    groups = [grp.getgrgid(each).gr_name for each in os.getgroups()]
    other = "games" if os.geteuid() == 0 else next((each for each in groups if each != own), "")
    if not other:
        pytest.skip("whoever is in one group alone can't give a folder to another")
    _come(tmp_path, own)
    assert _play(tmp_path, keeps=True)
    assert not _play(tmp_path, keeps=True)
    _come(tmp_path, other)
    assert not _play(tmp_path, keeps=True), "another administrator changes nothing"
    assert (tmp_path / "media").group() == own
    assert _play(tmp_path, keeps=False), "whoever fetches must be able to"
    assert (tmp_path / "media").group() == other
    _come(tmp_path, own)
    assert not _play(tmp_path, keeps=True)
    assert f"Group={other}" in (tmp_path / "slipway-media.service").read_text()


def test_the_server_is_configured_so() -> None:
    [block] = [
        each for each in yaml.safe_load((ROLE / "tasks/install.yml").read_text()) if "block" in each
    ]
    assert block["vars"] == {"_restore_media_keeps_group": True}
    assert [each["ansible.builtin.import_tasks"] for each in block["block"]] == [
        "folder.yml",
        "scheduled.yml",
    ]
