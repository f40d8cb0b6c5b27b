# SPDX-License-Identifier: GPL-3.0-or-later
"""A key at the PC: it counts where it may, and the server has the first word."""

from __future__ import annotations

import json
import os
import pty
import threading
from pathlib import Path

import pytest
from slipway.cli import postponing
from slipway.cli.console import Console
from slipway.cli.postponing import Postponing
from slipway.cli.terminals import Terminals
from slipway.net.session import Session


class Keys:
    """What is pressed in the next pauses."""

    def __init__(self, *keys: str | None) -> None:
        self.keys = list(keys)

    def key(self, seconds: float) -> str | None:
        return self.keys.pop(0)


def session(folder: Path, postponable: str = "yes") -> Path:
    path = folder / "session.json"
    Session("https://img", "/ca", "t", "s", "pc1", "backup", "pc1", "", postponable).save(path)
    return path


@pytest.mark.parametrize(
    ("keys", "granted", "restarts"),
    [
        ([None, "x", "\x1b[A", "\n"], True, 0),
        (["p"], True, 1),
        (["P\n"], True, 1),
        (["p"], False, 0),
    ],
)
def test_the_key_and_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keys: list[str | None],
    granted: bool,
    restarts: int,
) -> None:
    asked: list[str] = []

    def answer(of: Session) -> bool:
        asked.append(of.machine)
        return granted

    monkeypatch.setattr(postponing, "postpone", answer)
    path, restarted = session(tmp_path), list[None]()
    console = Console(tmp_path / "jobs", path)
    later = Postponing(console, Keys(*keys), path, lambda: restarted.append(None))
    for _ in keys:
        later.pause(0)
    assert len(restarted) == restarts
    assert len(asked) == ("p" in (keys[0] or "").lower())


def test_it_is_offered_while_it_can_be_done(tmp_path: Path) -> None:
    jobs, path = tmp_path / "jobs", session(tmp_path)
    jobs.mkdir()
    console = Console(jobs, path)
    assert "Press P" in console.lines()[-1]
    log = jobs / "backup.jsonl"
    log.write_text(json.dumps({"type": "progress", "verb": "backup"}) + "\n")
    assert "Press P" in console.lines()[-1]
    for kind in ("result", "error", "killed"):
        log.write_text(json.dumps({"type": kind, "verb": "backup"}) + "\n")
        assert "Press P" not in console.lines()[-1]
    log.unlink()
    session(tmp_path, "")
    assert "Press P" not in console.lines()[-1]


def test_a_key_needs_no_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    person, terminal = pty.openpty()
    monkeypatch.setattr("slipway.cli.screens._STDIN", terminal)
    monkeypatch.setattr("slipway.cli.screens._STDOUT", terminal)
    timer = threading.Timer(0.3, os.write, (person, b"p"))
    timer.start()
    assert Terminals().key(10) == "p"
    assert Terminals().key(0) is None
