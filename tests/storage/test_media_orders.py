# SPDX-License-Identifier: GPL-3.0-or-later
"""Media that the service asks for: made one after the other, answered once, signed by the site."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slipway.format import parse

from .conftest import Agent
from .disk_builder import sh, sha256
from .media_sets import BUILDER, build, environment, flip, make_disk


class Place:
    """A server's store, environment, media, orders and key."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.store, self.media = room / "store", room / "media"
        self.orders, self.outcomes = room / "orders", room / "media/.outcomes"
        for folder in (self.orders, self.media):
            folder.mkdir()
        self.env = environment(room / "env")
        for number, name in enumerate(("pc1", "pc2")):
            source = make_disk(room / name, 2, seed=number + 1)
            Agent(self.store)("backup", source, "--name", name).ok()
        self.key = room / "key"
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key)

    def ask(self, name: str, **order: Any) -> None:
        (self.orders / f"{name}.json").write_text(json.dumps(order))

    def work(self, *words: object, code: int = 0) -> str:
        command = [sys.executable, "-m", "slipway_media.orders", "--orders", self.orders]
        command += ["--outcomes", self.outcomes, "--store", self.store, "--folder", self.media]
        command += ["--environment", self.env, "--sign-key", self.key, *(words or ("--reserve", 0))]
        done = subprocess.run(
            list(map(str, command)),
            env=os.environ | BUILDER,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    def outcome(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.outcomes / f"{name}.json").read_text())
        return found


@pytest.fixture
def place(room: Path) -> Place:
    return Place(room)


def test_what_is_asked_for_is_made_once_and_signed(place: Place) -> None:
    place.ask("pc1", id="a", image="pc1", medium="usb", countdown=30, rule={}, unattended=False)
    place.ask("front", id="b", image="pc2", medium="cd", unattended=True, rule={"only_fixed": True})
    place.work()
    for name, image, order in (("pc1", "pc1", "a"), ("front", "pc2", "b")):
        assert place.outcome(name)["id"] == order and place.outcome(name)["problem"] is None
        record = json.loads((place.media / name / "media.json").read_text())
        assert record["image"] == image and record["unattended"] is (name == "front")
        subprocess.run(
            ["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=place.media / name, check=True
        )
        signers = place.room / "signers"
        signers.write_text(f"site {place.key.with_suffix('.pub').read_text()}")
        verify = ["ssh-keygen", "-Y", "verify", "-n", "slipway-media", "-I", "site", "-f", signers]
        verify += ["-s", place.media / name / "SHA256SUMS.sig"]
        with (place.media / name / "SHA256SUMS").open() as sums:
            subprocess.run(verify, stdin=sums, check=True, capture_output=True)
        # A list that somebody changed is none of the site's.
        other = subprocess.run(verify, input=b"0  other.iso\n", check=False, capture_output=True)
        assert other.returncode != 0
    before = place.outcome("pc1"), sha256(place.media / "pc1/pc1.iso")
    place.work()
    assert (place.outcome("pc1"), sha256(place.media / "pc1/pc1.iso")) == before


def test_the_same_set_as_by_hand(place: Place) -> None:
    """What was made by hand is what is asked for, and the other way round."""
    words = ("--image", "pc1", "--medium", "usb", "--sign-key", place.key)
    made = build(place.store, place.env, place.media, *words)
    iso = place.media / "pc1/pc1.iso"
    was = iso.stat().st_ino, (place.media / "pc1/SHA256SUMS.sig").read_bytes()
    place.ask("pc1", id="a", image=f"pc1@{made['version']}", medium="usb")
    place.work()
    assert (iso.stat().st_ino, (place.media / "pc1/SHA256SUMS.sig").read_bytes()) == was
    again = build(place.store, place.env, place.media, *words, "--name", "pc1")
    assert again == made | {"changed": False, "says": again["says"]}
    # Made anew elsewhere, the signature is the same, too.
    build(place.store, place.env, place.room / "again", *words)
    assert (place.room / "again/pc1/SHA256SUMS.sig").read_bytes() == was[1]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"image": "nosuch", "medium": "cd"}, "there is no image nosuch"),
        ({"image": "pc1", "medium": "tape"}, "is no medium"),
        ({"image": "pc1", "medium": "1000"}, "The medium is too small"),
        ({"image": "pc1", "medium": "cd", "rule": {"modle": "x"}}, "says nothing about a target"),
        ({"image": "pc1", "medium": "cd", "rule": []}, "rule of the order"),
        ({"image": "pc1", "medium": 7}, "medium of the order"),
        ({"image": "../pc1", "medium": "cd"}, "is no image name"),
    ],
)
def test_one_that_fails_says_why_and_keeps_nobody_waiting(
    place: Place, order: dict[str, Any], says: str
) -> None:
    place.ask("a", id="1", **order)
    place.ask("pc2", id="2", image="pc2", medium="cd")
    (place.orders / "broken.json").write_text("{")
    place.work(code=1)
    told = place.outcome("a")
    assert told["id"] == "1" and says in told["problem"] and "Remedy: " in told["problem"], told
    assert not (place.media / "a").exists() and (place.media / "pc2/pc2.iso").exists()
    assert not (place.outcomes / "broken.json").exists()


def test_without_room_or_key_nothing_is_made(place: Place) -> None:
    place.ask("pc1", id="1", image="pc1", medium="cd")
    place.work("--reserve", 1 << 60, code=1)
    assert "has room for 0; nothing was made" in place.outcome("pc1")["problem"]
    place.ask("pc1", id="2", image="pc1", medium="cd")
    place.key.unlink()
    place.work(code=1)
    assert "There is no key" in place.outcome("pc1")["problem"]
    assert not (place.media / "pc1").exists()


def test_the_set_of_before_stays_when_the_new_one_fails(place: Place) -> None:
    place.ask("pc1", id="1", image="pc1", medium="cd")
    place.work()
    was = sha256(place.media / "pc1/pc1.iso")
    [manifest] = (place.store / "images/pc1").iterdir()
    own = [digest for digest, _ in parse(manifest.read_bytes()).chunks()]
    chunks = [place.store / "chunks" / each[:2] / each[2:4] / each for each in own]
    flip(max(chunks, key=lambda path: path.stat().st_size))
    place.ask("pc1", id="2", image="pc1", medium="dvd")
    place.work(code=1)
    assert "can't be put on media" in place.outcome("pc1")["problem"]
    assert sha256(place.media / "pc1/pc1.iso") == was
