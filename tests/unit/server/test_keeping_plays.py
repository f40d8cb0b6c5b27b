# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that look after images, on a real service: what they show, change, and refuse."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ...fixtures import warm_python
from .conftest import ROOT, Service, cell
from .test_prune import age, listed, made

pytestmark = pytest.mark.plays

DAYS = ("20260101T000000Z", "20260102T000000Z", "20260103T000000Z")


class Plays:
    """Playbooks on a service of its own."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.service = service
        self._folder = folder
        (folder / "inventory").mkdir()
        self.say()

    def say(self, machines: Mapping[str, Any] | None = None, **variables: Any) -> None:
        """Write the inventory with these machines and variables of the image server."""
        host = {
            "ansible_connection": "ansible.builtin.local",
            "ansible_become": False,
            "ansible_python_interpreter": warm_python.for_modules(),
            "imaging_session_admin_socket": str(self.service.folder / "admin"),
            **variables,
        }
        inventory = {
            "image_servers": {"hosts": {"img": host}},
            "machines": {"hosts": machines or {}},
        }
        (self._folder / "inventory/hosts.yml").write_text(json.dumps(inventory))

    def begun(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin to run a playbook."""
        places = {"_policy_dir": str(self.service.folder / "policy"), "_policy_group": "root"}
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "COLUMNS": "5000",
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [
            *warm_python.ansible(environment),
            *("-i", str(self._folder / "inventory"), f"playbooks/{name}.yml"),
            *("-e", json.dumps(places), *arguments),
        ]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def play(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook."""
        with self.begun(name, *arguments) as play:
            said, wrong = play.communicate()
        return subprocess.CompletedProcess(play.args, play.returncode, said, wrong)

    def done(self, name: str, *arguments: str) -> str:
        """Run one that must succeed; return what it says."""
        ran = self.play(name, *arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def changed(self, output: str) -> int:
        """How much it says that it changed."""
        [count] = re.findall(r"changed=(\d+)", output)
        return int(count)


@pytest.fixture
def plays(own_service: Callable[..., Service], tmp_path: Path) -> Plays:
    folder = tmp_path / "plays"
    folder.mkdir()
    return Plays(folder, own_service(policy_dir=str(tmp_path / "0/policy")))


def test_what_prune_would_move_is_what_it_moves_and_comes_back_whole(plays: Plays) -> None:
    service = plays.service
    for name in ("pc1", "pc2"):
        for day in DAYS:
            made(service, name, day, cell(f"{name} {day}"))
    images = {"pc1": {"hold": [DAYS[0]]}}
    plays.say(
        policy_keep={"last": 1}, policy_images=images, policy_aliases={"base": f"pc2@{DAYS[1]}"}
    )

    foretold = plays.done("policy", "--check", "--diff")
    assert plays.changed(foretold) > 0
    for line in (f"+pc1@{DAYS[1]} goes to the trash", f"-pc1@{DAYS[1]} kept", "+alias base is"):
        assert line in foretold
    assert not (service.folder / "policy/images.json").exists()
    assert plays.changed(plays.done("policy")) > 0
    assert plays.changed(plays.done("policy", "--diff")) == 0

    doomed = {f"pc1@{DAYS[1]}", f"pc2@{DAYS[0]}"}
    shown = plays.done("prune", "--check", "--diff")
    assert set(re.findall(r"^-(\S+@\S+)$", shown, re.MULTILINE)) == doomed
    assert len(listed(service, "pc1")) == 3
    assert set(re.findall(r"^ +- (\S+@\S+)$", plays.done("prune"), re.MULTILINE)) == doomed
    assert (list(listed(service, "pc1")), list(listed(service, "pc2"))) == (
        [DAYS[2], DAYS[0]],
        [DAYS[2], DAYS[1]],
    )
    assert plays.changed(plays.done("prune")) == 0

    assert f"pc1@{DAYS[1]}" in plays.done("trash")
    age(service, 3)
    plays.done("collect")
    assert plays.changed(plays.done("trash", "-e", f"undelete=pc1@{DAYS[1]}")) == 1
    assert plays.changed(plays.done("trash", "-e", f"undelete=pc1@{DAYS[1]}")) == 0
    plays.done("images", "-e", f"image=pc1@{DAYS[1]}", "-e", "check=true")
    assert plays.changed(plays.done("trash", "-e", "empty=true")) == 1
    age(service, 3)
    assert "1 chunks" in plays.done("collect")
    assert "1 chunks" in plays.done("collect", "-e", "show=last")
    assert "read" in plays.done("scrub")


def test_a_scrub_says_what_it_waits_for_before_it_waits(plays: Plays) -> None:
    name, version = plays.service.image(cell("read by two"))
    pc = plays.service.machine("restore", image=name, version=version)
    with plays.begun("scrub") as play:
        assert play.stdout is not None
        waits = f"restore of {pc.name} (session {pc.session})"
        assert any(waits in line for line in play.stdout)
        assert play.poll() is None
        plays.service.admin.delete(f"/v1/sessions/{pc.session}")
        assert "1 chunks" in play.stdout.read()
    assert play.returncode == 0


def test_image_does_each_thing_once(plays: Plays) -> None:
    service = plays.service
    for day in DAYS:
        made(service, "pc1", day, cell(f"once {day}"))
    version = f"image=pc1@{DAYS[0]}"
    for arguments in (
        ("-e", version, "-e", "hold=true", "-e", "reason=exams"),
        ("-e", "image=pc1", "-e", '{"note": "Reception"}'),
        ("-e", "image=pc1", "-e", "copy=pc2"),
        ("-e", version, "-e", "hold=false"),
        ("-e", version, "-e", "state=absent"),
        ("-e", "image=pc1", "-e", "rename=pc3"),
    ):
        if "copy=pc2" in arguments or "rename=pc3" in arguments:
            foretold = plays.done("image", "--check", "--diff", *arguments)
            assert plays.changed(foretold) == 1, arguments
        assert plays.changed(plays.done("image", *arguments)) == 1, arguments
        assert plays.changed(plays.done("image", *arguments)) == 0, arguments
    assert list(listed(service, "pc3")) == [DAYS[2], DAYS[1]]
    plays.done("image", "-e", "image=pc3", "-e", "alias=lab-base")
    table = plays.done("images")
    assert "KEPT BECAUSE" in table and "pc3: Reception" in table and "lab-base is pc3" in table
    text = plays.done("images", "-e", "json=true").partition("msg: |-\n")[2].partition("\n\n")[0]
    found = json.loads(text)
    assert {each["name"] for each in found["images"]} == {"pc2", "pc3"}


def test_what_is_refused_says_why_and_changes_nothing(plays: Plays) -> None:
    made(plays.service, "pc1", DAYS[0], cell("refused"))
    plays.say(policy_keep={"dialy": 1, "last": 0}, policy_images={"pc1": {"hold": [DAYS[1]]}})
    ran = plays.play("policy")
    assert ran.returncode != 0
    assert "did you mean daily?" in ran.stdout + ran.stderr
    plays.say(policy_kep={"daily": 1})
    assert "There is no variable policy_kep" in plays.play("policy").stdout
    plays.say()
    assert "Say which image" in plays.play("image", "-e", "state=absent").stdout
    plays.done("image", "-e", "image=pc1", "-e", "hold=true", "-e", "reason=exams")
    assert "held: exams" in plays.play("image", "-e", "image=pc1", "-e", "state=absent").stdout
    assert "not_in_trash" in plays.play("trash", "-e", "undelete=pc9").stdout
