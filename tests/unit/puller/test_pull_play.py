# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/pull.yml on two real services: what it says is what comes, the rest is told."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from ..server.conftest import ROOT, Service, cell
from ..server.test_keeping_plays import Plays
from ..server.test_prune import listed, made

pytestmark = pytest.mark.plays

DAYS = ("20260101T000000Z", "20260102T000000Z")


class Puller:
    """What the role would have installed, in a folder."""

    def __init__(self, folder: Path, berlin: Service, bonn: Service) -> None:
        self.berlin = berlin
        self.bonn = bonn
        self.folder = folder
        self.plays = Plays(folder, bonn)
        (folder / "state").mkdir()
        path = f"{ROOT / 'client_image/agent'}:{ROOT / 'roles/policy/files'}"
        self._as_here: dict[str, Any] = {
            "_policy_puller_etc": str(folder),
            "_policy_puller_job": ["env", f"PYTHONPATH={path}"],
            "_policy_puller_program": [
                *(sys.executable, "-P", "-m", "slipway_puller"),
                *("--config", f"{folder}/pull.json", "--state", f"{folder}/state"),
                *("--socket", str(bonn.folder / "puller")),
            ],
        }

    def say(self, **sites: Any) -> None:
        (self.folder / "pull.json").write_text(json.dumps(sites))

    def play(self, *arguments: str) -> tuple[int, str]:
        ran = self.plays.play("pull", "-e", json.dumps(self._as_here), *arguments)
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def puller(tmp_path: Path) -> Iterator[Puller]:
    for name in ("plays", "berlin", "bonn"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        berlin, bonn = (
            stack.enter_context(closing(Service(tmp_path / name).start()))
            for name in ("berlin", "bonn")
        )
        found = Puller(tmp_path / "plays", berlin, bonn)
        found.say(berlin={"from": str(berlin.store), "images": ["pc*"]})
        yield found


def test_what_it_would_pull_is_what_it_pulls(puller: Puller) -> None:
    for name in ("pc1", "pc2", "office"):
        for day in DAYS:
            made(puller.berlin, name, day, cell(f"{name} {day}"))
    wanted = [f"{name}@{day}" for day in reversed(DAYS) for name in ("pc1", "pc2")]

    code, said = puller.play("--check", "--diff")
    assert code == 0, said
    assert re.findall(r"^\+(\S+@\S+) of berlin$", said, re.MULTILINE) == wanted
    assert "would be sent" in said and puller.plays.changed(said) == 1
    assert list((puller.bonn.store / "images").iterdir()) == []
    assert list((puller.folder / "state").iterdir()) == []

    code, said = puller.play("--diff")
    assert code == 0, said
    assert re.findall(r"^\+(\S+@\S+) of berlin$", said, re.MULTILINE) == wanted
    assert puller.plays.changed(said) == 1
    assert {name: sorted(listed(puller.bonn, name)) for name in ("pc1", "pc2")} == {
        "pc1": list(DAYS),
        "pc2": list(DAYS),
    }

    code, said = puller.play("--diff")
    assert (code, puller.plays.changed(said)) == (0, 0), said
    assert "Nothing is missing here." in said


def test_one_site_alone_and_one_that_is_none(puller: Puller) -> None:
    made(puller.berlin, "pc1", DAYS[0], cell("there"))
    source = {"from": str(puller.berlin.store), "images": ["*"]}
    puller.say(berlin=source, usb=source | {"from": "/nonexistent/slipway"})
    code, said = puller.play("-e", "site=berlim")
    assert code != 0 and "has no site berlim. There are berlin, usb. Nothing was changed" in said
    code, said = puller.play("-e", "site=berlin")
    assert code == 0 and f"- pc1@{DAYS[0]}" in said, said
    # The other one is away: told in a look, and after what came.
    made(puller.berlin, "pc1", DAYS[1], cell("new there"))
    code, said = puller.play("--check")
    assert code != 0 and "usb: " in said and "/nonexistent/slipway" in said
    assert "Nothing was changed" in said
    code, said = puller.play()
    assert code != 0 and "usb: " in said and "1 versions came, and stay" in said
    assert sorted(listed(puller.bonn, "pc1")) == list(DAYS)


def test_who_pulls_from_nobody_is_told(puller: Puller) -> None:
    (puller.folder / "pull.json").unlink()
    code, said = puller.play()
    assert (
        code != 0 and "policy_replicate, and run playbooks/policy.yml. Nothing was changed" in said
    )
