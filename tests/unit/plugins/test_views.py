# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines, tables and sentences for people."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.image_table import image_table
from ansible_collections.slipway.imaging.plugins.filter.old_name import old_name
from ansible_collections.slipway.imaging.plugins.filter.session_connection import (
    session_connection,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._differences import diffs, sentences
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import (
    line,
    size,
    span,
    summary,
)
from hypothesis import example, given
from hypothesis import strategies as st

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbWJ6bQ0q7Qz5n9V0b8Yy3c1d2e3f4a5b6c7d8e9f0A"


def test_the_line_of_a_backup() -> None:
    record = {
        "phase": "backup",
        "disk": "disk0",
        "partition": "1",
        "done": 182_000_000,
        "total": 420_000_000,
        "rate": 21_300_000,
        "eta": 11,
        "sent": 80_000_000,
        "written": 0,
    }
    assert line("pc1", record) == (
        "pc1  backup disk0:1  43 %  182 MB of 420 MB  21.3 MB/s  0:11 left  sent 80 MB"
    )
    said = line("pc1", record | {"waiting": "waiting for the server\x1b[2J"})
    assert said.endswith("sent 80 MB  waiting for the server [2J")


values = st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans())
keys = st.sampled_from(["phase", "disk", "partition", "done", "total", "rate", "eta", "sent"])


@given(st.dictionaries(keys, values))
@example({"total": 1, "done": 1.797e306})
@example({"total": 1, "done": 10**400, "eta": float("nan")})
@example({"total": 5e-324, "done": 1})
@example({"total": -5e-324, "done": -1})
def test_no_record_breaks_the_line(record: dict[str, Any]) -> None:
    assert "\n" not in line("pc1", record)
    assert "\x1b" not in summary("pc1", record)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (65536, "65.5 kB"), (999_999, "1 MB"), (1_460_000_000, "1.46 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_spans() -> None:
    assert [span(11), span(3723)] == ["0:11", "1:02:03"]


def compared() -> dict[str, Any]:
    parts = [
        {"partition": "1", "content": "ext4", "differs": 65536, "differing_cells": 1},
        {"partition": "5", "content": "swap", "differs": 0, "differing_cells": 0},
    ]
    disks = [{"disk": "disk0", "device": "/dev/sda", "partitions": parts}]
    return {"image": "pc1", "version": "20260131T235959Z", "disks": disks}


def test_differences_name_partition_and_amount() -> None:
    assert sentences(compared()) == [
        "/dev/sda disk0:1 (ext4): 65.5 kB in 1 cell differ from pc1@20260131T235959Z"
    ]
    (diff,) = diffs(compared())
    assert diff["before"] != diff["after"]


def test_the_table_of_images() -> None:
    versions = [
        {"version": f"2026010{day}T000000Z", "created": f"2026-01-0{day}T00:00:00Z", "bytes": 42e7}
        for day in (1, 2)
    ]
    heading, first, second = image_table([{"name": "pc1", "versions": versions}])
    assert heading.split()[0] == "IMAGE"
    assert first.startswith("pc1@20260102T000000Z  2026-01-02 00:00:00  420 MB")
    assert second.startswith("pc1@20260101")
    versions[0]["unreadable"] = 1536
    versions[1]["problem"] = "The manifest is damaged."
    _heading, first, second = image_table([{"name": "pc1", "versions": versions}])
    assert first.endswith("damaged")
    assert second.endswith("degraded, 1.54 kB unreadable")
    versions[0]["ahead"] = True
    assert "says a time to come" in image_table([{"name": "pc1", "versions": versions}])[2]
    busy = [{"version": f"20260101T000000Z-{number}", "bytes": 1} for number in (9, 10, 11)]
    rows = image_table([{"name": "pc1", "versions": busy}])[1:]
    assert [row.split()[0].rpartition("-")[2] for row in rows] == ["11", "10", "9"]
    assert image_table([])[0].startswith("There is no image yet")


def test_a_session_is_reached_by_its_own_key() -> None:
    seen = {"id": "0123", "machine": "pc1", "address": "10.77.0.21", "host_key": f"{KEY} comment"}
    connection = session_connection(seen)
    assert connection["host"] == "10.77.0.21"
    assert (connection["host_key"], connection["host_key_type"]) == (KEY, "ssh-ed25519")
    assert session_connection({**seen, "id": "4567"})["mark"] != connection["mark"]


@pytest.mark.parametrize(
    "lie",
    [
        {"host_key": "ssh-ed25519 AAAA\nother ssh-ed25519 AAAA"},
        {"host_key": None},
        {"address": "-oProxyCommand=x"},
        {"address": "{{ 1 }}"},
        {"machine": "../x"},
    ],
)
def test_a_lying_machine_gets_no_connection(lie: dict[str, Any]) -> None:
    seen = {"id": "0123", "machine": "pc1", "address": "10.77.0.21", "host_key": KEY, **lie}
    with pytest.raises(AnsibleFilterError):
        session_connection(seen)


def test_an_old_name_is_taken_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "ansible.utils.display.Display.warning", lambda self, text, **_more: said.append(text)
    )
    assert old_name(True, "read_back", "disk_read_back") is True
    assert ["read_back is called disk_read_back" in text for text in said] == [True]
