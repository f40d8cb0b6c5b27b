# SPDX-License-Identifier: GPL-3.0-or-later
"""One piece of work reads the same on the PC's screen, in Ansible and on the page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.filter.size import FilterModule
from ansible_collections.slipway.imaging.plugins.plugin_utils import _progress as plugin
from hypothesis import example, given
from hypothesis import strategies as st
from slipway.cli.console import Console
from slipway.cli.views import progress_line, result_lines
from slipway.engine.progress import Record
from slipway.engine.result import Result
from slipway.format import units
from slipway_web import words
from slipway_web.pages.jobs import progress_of

MOST = 2**63 - 1
amounts = st.integers(0, MOST) | st.floats(0, 2.0**62)


@given(amounts)
@example(999.5)
@example(1_459_999_999)
@example(999_500_000)
def test_an_amount_of_bytes(count: float) -> None:
    said = units.size(count)
    assert plugin.size(count) == said
    assert words.size(count) == said
    assert FilterModule().filters()["size"](count) == said


@given(amounts)
def test_a_time(seconds: float) -> None:
    assert plugin.span(seconds) == units.clock(seconds)


RECORDS = [
    Record("backup", "disk0", "1", 1_459_999_999, 2_000_000_000, 1, 0, 99_950_000, 15, 5.0),
    Record("restore", "disk0", "", 999, 1_000_500, 0, 7, 0, None, 0.5),
    Record("verify", "", "", 65_536, 10**15, 0, 0, 10**9, 86_400, 9.0),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.phase)
def test_how_far_it_is(record: Record) -> None:
    value = record.to_json()
    here, there = progress_line(value), plugin.line("pc1", value)
    page = progress_of({"progress": value})
    assert page is not None
    same = [f"{units.size(record.done)} of {units.size(record.total)}"]
    same += [record.phase, ":".join(filter(None, (record.disk, record.partition)))]
    same += [f"{units.size(record.rate)}/s"] if record.rate else []
    same += [f"{units.clock(record.eta)} left"] if record.eta is not None else []
    assert [word for word in same if word not in here] == []
    assert [word for word in same if word not in there] == []
    assert (page["phase"], page["place"]) == (same[1], same[2])
    shown = (words.size(page["done"]), words.size(page["total"]))
    assert " of ".join(shown) == same[0]
    assert f"{words.size(page['rate'])}/s" in same or not record.rate


def test_how_it_ended(tmp_path: Path) -> None:
    result = Result("backup", True, "pc", "20260131T235959Z", 1_459_999_999, 999_500, seconds=65.4)
    record: dict[str, Any] = json.loads(json.dumps(result.to_json()))
    (tmp_path / "job-1.jsonl").write_text(json.dumps(record) + "\n")
    os.utime(tmp_path / "job-1.jsonl")
    screen = Console(tmp_path, tmp_path / "session.json").status()
    [terminal, *_] = result_lines(result)
    ansible = plugin.summary("pc1", record)
    for amount in ("1.46 GB", "1 MB", "1:05"):
        assert amount in screen and amount in terminal and amount in ansible
