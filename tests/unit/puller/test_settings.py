# SPDX-License-Identifier: GPL-3.0-or-later
"""What is pulled from where: all faults at once, and no token in any of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.store import ImageInfo, VersionInfo
from slipway_puller.pulling import Book, wanted_of
from slipway_puller.settings import SettingsError, Source, parse

from ..server.conftest import ROOT

SECRET = "Tr0ub4dor-and-3"
SERVER: dict[str, Any] = {
    "from": "https://10.1.0.1",
    "images": ["pc*"],
    "token": SECRET,
    "ca": "/etc/slipway/berlin-ca.crt",
}
FOLDER: dict[str, Any] = {"from": "/media/usb/slipway", "images": ["pc1"], "every_hours": 1}
FAULTS: dict[str, tuple[Any, str]] = {
    "a key that is none": (SERVER | {"evry_hours": 3}, "(did you mean every_hours?)"),
    "no images": ({**SERVER, "images": []}, ".images: must be a list"),
    "one image": ({**SERVER, "images": "pc1"}, ".images: must be a list"),
    "a name that is none": ({**SERVER, "images": ["PC 1"]}, ".images: must be images' names"),
    "no place": ({"images": ["pc1"]}, ".from: must be https://SERVER"),
    "in clear": (SERVER | {"from": "http://10.1.0.1"}, ".from: must be https://SERVER"),
    "a page of a server": (SERVER | {"from": "https://10.1.0.1/x"}, ".from: must be"),
    "a password in the place": (SERVER | {"from": f"https://a:{SECRET}@h"}, ".from: must be"),
    "a port that is none": (SERVER | {"from": "https://h:99999"}, ".from: must be"),
    "no token": ({key: SERVER[key] for key in SERVER if key != "token"}, ".token: must be given"),
    "no ca": ({key: SERVER[key] for key in SERVER if key != "ca"}, ".ca: must be given"),
    "a ca that is no file": (SERVER | {"ca": "berlin.crt"}, ".ca: must be the path"),
    "a token of two lines": (SERVER | {"token": f"{SECRET}\nX: y"}, ".token: must be given"),
    "a folder with a token": (FOLDER | {"token": SECRET}, ".token: a folder takes none"),
    "never": (FOLDER | {"every_hours": 0}, ".every_hours: must be a number"),
    "each hour in words": (FOLDER | {"every_hours": "1h"}, ".every_hours: must be a number"),
    "yes": (FOLDER | {"every_hours": True}, ".every_hours: must be a number"),
    "a list": ([], ": must have the keys"),
}


def test_what_can_be_meant() -> None:
    server, folder = parse({"berlin": SERVER, "usb": FOLDER})
    assert (server.is_folder, server.every_hours, server.token) == (False, 24.0, SECRET)
    assert server.wants("pc12") and not server.wants("course-office")
    assert (folder.is_folder, folder.every_hours) == (True, 1.0)
    assert parse({}) == []


def test_all_faults_are_told_at_once_without_a_secret(tmp_path: Path) -> None:
    said = {f"s{number}": each for number, (each, _) in enumerate(FAULTS.values())}
    with pytest.raises(SettingsError) as refused:
        parse(said | {"Not A Name": SERVER})
    for number, (_, words) in enumerate(FAULTS.values()):
        assert any(
            each.startswith(f"policy_replicate.s{number}") and words in each
            for each in refused.value.problems
        ), (words, refused.value.problems)
    assert any("Not A Name: must be a name" in each for each in refused.value.problems)
    assert SECRET not in str(refused.value)
    # As the role asks, with nothing but the standard library.
    (tmp_path / "pull.json").write_text(json.dumps(said))
    asked = subprocess.run(
        ["/usr/bin/python3", "-B", "-P", "-m", "slipway_puller.settings", tmp_path / "pull.json"],
        env={"PYTHONPATH": str(ROOT / "roles/policy/files")},
        capture_output=True,
        text=True,
    )
    assert (asked.returncode, asked.stdout) == (2, "")
    assert len(asked.stderr.splitlines()) >= len(FAULTS) and SECRET not in asked.stderr


def test_the_newest_version_of_each_image_comes_first() -> None:
    def image(name: str, *versions: str) -> ImageInfo:
        found = [
            VersionInfo(each, "", 0, 0, damage="x" if each == "bad" else "") for each in versions
        ]
        return ImageInfo(name, tuple(found))

    source = Source("berlin", "/x", ("pc*",), 1.0)
    images = [image("pc1", "1", "2", "bad"), image("other", "9"), image("pc2", "5")]
    assert [each.name for each in wanted_of(source, images)] == ["pc1@2", "pc2@5", "pc1@1"]


def test_who_is_due(tmp_path: Path) -> None:
    source = Source("berlin", "/x", ("*",), 6.0)
    book = Book(tmp_path / "came.json")
    assert book.is_due(source, 0.0)
    book.keep("berlin", ["pc1@1"], None, 1000.0)
    book = Book(tmp_path / "came.json")
    assert book.came("berlin") == {"pc1@1"}
    assert not book.is_due(source, 1000.0 + 6 * 3600 - 1)
    assert book.is_due(source, 1000.0 + 6 * 3600)
    assert book.is_due(source, 10.0), "the clock was wrong"
    # What failed is tried each time.
    book.keep("berlin", [], "it is away", 1000.0)
    assert book.is_due(source, 1001.0)
    book.forget_others([])
    assert Book(tmp_path / "came.json").came("berlin") == set()
    # A file that a full disk has cut is none.
    for text in ("", "[]", '{"berlin": 1}', '{"berlin": {"at": "x"}}'):
        (tmp_path / "came.json").write_text(text)
        assert Book(tmp_path / "came.json").is_due(source, 1001.0)
