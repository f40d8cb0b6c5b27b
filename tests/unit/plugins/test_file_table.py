# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in an image, for a person: names are a PC's, and stay text."""

from typing import Any

from ansible_collections.slipway.imaging.plugins.filter.file_table import file_table

ABOUT = {"image": "pc@20260101T000000Z", "path": "/etc", "partition": "disk0:1"}


def entry(name: str, folder: bool = False, size: int | None = None) -> dict[str, Any]:
    return {"name": name, "folder": folder, "size": size, "modified": "2026-01-01 00:00:00"}


def test_a_folder() -> None:
    entries = [entry("hosts", size=2048), entry("ssh", folder=True), entry("link")]
    lines = file_table(ABOUT | {"kind": "folder", "entries": entries})
    assert lines[0] == "/etc on disk0:1 of pc@20260101T000000Z"
    assert [line.split()[-1] for line in lines[1:]] == ["hosts", "ssh/", "link"]
    assert "2.05 kB" in lines[1] or "2.0" in lines[1]


def test_an_empty_folder_is_said_to_be_one() -> None:
    lines = file_table(ABOUT | {"kind": "folder", "entries": []})
    assert lines == ["/etc on disk0:1 of pc@20260101T000000Z is empty"]


def test_partitions_and_files() -> None:
    systems = [{"partition": "disk0:1", "content": "ext"}, {"partition": "vg/root", "content": "x"}]
    lines = file_table(ABOUT | {"kind": "partitions", "partitions": systems})
    assert lines[1:] == ["disk0:1  ext", "vg/root  x"]
    [line] = file_table(ABOUT | {"kind": "file", "size": 1000, "modified": ""})
    assert line.startswith("/etc on disk0:1") and line.endswith("B")


def test_names_move_no_cursor() -> None:
    hostile = entry("\x1b[2J\r\u202eevil" + "x" * 999, size=1)
    line = file_table(ABOUT | {"kind": "folder", "entries": [hostile]})[1]
    assert line.isprintable() and len(line) < 400
