# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/policy.yml hands over which media are made by themselves, or says all that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Service, cell
from .test_keeping_plays import Plays
from .test_prune import made

pytestmark = pytest.mark.plays

DAY = "20260101T000000Z"


@pytest.fixture
def plays(own_service: Callable[..., Service], tmp_path: Path) -> Plays:
    folder = tmp_path / "plays"
    folder.mkdir()
    return Plays(folder, own_service(policy_dir=str(tmp_path / "0/policy"), media_seconds=1))


def test_shown_handed_over_once_and_taken_back(plays: Plays) -> None:
    made(plays.service, "pc12", DAY, cell("of pc12"))
    folder = plays.service.folder / "policy"
    folder.mkdir(mode=0o750)
    plays.say(policy_media={"pc12": {"medium": "usb", "every_days": 30}})
    shown = plays.done("policy", "--check", "--diff")
    assert "+media pc12: pc12 for usb, at most every 30 days" in shown
    assert not (folder / "media.json").exists()
    assert plays.changed(plays.done("policy")) == 1
    said = json.loads((folder / "media.json").read_text())
    assert said == {"media": {"pc12": {"medium": "usb", "every_days": 30}}}
    assert plays.changed(plays.done("policy")) == 0
    plays.say()
    assert "-media pc12: pc12 for usb" in plays.done("policy", "--diff")
    assert json.loads((folder / "media.json").read_text()) == {"media": {}}


def test_all_faults_are_said_at_once_and_nothing_is_written(plays: Plays) -> None:
    made(plays.service, "pc12", DAY, cell("of pc12"))
    plays.say(
        policy_media={"pc12": {"medium": "dvdd", "every_dayz": 3}, "front": {}},
        policy_keep={"lasst": 3},
    )
    ran = plays.play("policy")
    assert ran.returncode != 0
    for words in (
        "policy_media.pc12.medium: must be one of cd, dvd,",
        "did you mean dvd",
        "policy_media.pc12.every_dayz: there is no such key (did you mean every_days?)",
        "policy_media.front.medium: ",
        "policy_keep.lasst: ",
        "Nothing was changed.",
    ):
        assert words in ran.stdout, ran.stdout
    assert not (plays.service.folder / "policy/media.json").exists()
    plays.say(policy_medai={"pc12": {"medium": "usb"}})
    ran = plays.play("policy")
    assert ran.returncode != 0 and "There is no variable policy_medai." in ran.stdout
