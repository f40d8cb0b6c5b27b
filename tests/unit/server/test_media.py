# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service knows of media that were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from slipway_server.images.media import MediaFolder

RECORD: dict[str, Any] = {
    "set": "0" * 64,
    "name": "pc12",
    "image": "pc1",
    "version": "20260101T000000Z",
    "medium": "cd",
    "unattended": False,
    "shim": "15.8-1~deb12u1",
    "bytes": 30,
    "discs": [
        {"file": "pc12-1of2.iso", "label": "PC12_1OF2", "bytes": 20, "sha256": "0" * 64},
        {"file": "pc12-2of2.iso", "label": "PC12_2OF2", "bytes": 10, "sha256": "0" * 64},
    ],
    "made": "2026-01-02T00:00:00Z",
}


def keep(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "media.json").write_text(text)


def test_each_set_stands_with_its_version(tmp_path: Path) -> None:
    for name, version in (("pc13", "1"), ("pc12", "2"), ("pc11", "2")):
        keep(tmp_path, name, json.dumps(RECORD | {"name": name, "version": version}))
    found = MediaFolder(tmp_path).by_version()
    names = {key: [each.name for each in made] for key, made in found.items()}
    assert names == {("pc1", "1"): ["pc13"], ("pc1", "2"): ["pc11", "pc12"]}
    [made] = found["pc1", "1"]
    assert [each.bytes for each in made.discs] == [20, 10] and made.shim == RECORD["shim"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        json.dumps(RECORD | {"name": "pc9"}),
        json.dumps(RECORD | {"bytes": -1}),
        json.dumps(RECORD | {"shim": "a\nb"}),
        json.dumps(RECORD | {"made": "\x1b[2J"}),
        json.dumps(RECORD | {"discs": [{"file": "x" * 300, "bytes": 1}]}),
        json.dumps({key: value for key, value in RECORD.items() if key != "discs"}),
        json.dumps(RECORD) + " " * (1 << 20),
    ],
)
def test_what_is_no_record_is_left_out(tmp_path: Path, text: str) -> None:
    keep(tmp_path, "pc12", text)
    keep(tmp_path, ".pc13.new", json.dumps(RECORD | {"name": ".pc13.new"}))
    keep(tmp_path, "pc14", json.dumps(RECORD | {"name": "pc14"}))
    assert [each.name for each in MediaFolder(tmp_path).all()] == ["pc14"]


def test_without_a_folder_there_is_nothing(tmp_path: Path) -> None:
    assert MediaFolder(tmp_path / "none").by_version() == {}
