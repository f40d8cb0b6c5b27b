# SPDX-License-Identifier: GPL-3.0-or-later
"""Exit codes that need a server or an accident; storage tests provoke the others on real disks."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.cli import place, work
from slipway.cli.main import main
from slipway.cli.verbs import list_images
from slipway.net.client import Client

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb that has to fail, for people and for programs: the same code and words."""

    def run(code: int, *argv: object) -> dict[str, Any]:
        words = [str(word) for word in argv]
        assert main([*words, "--json"]) == code
        last = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (last["type"], last["exit_code"]) == ("error", code)
        assert last["remedy"]
        assert main(words) == code
        shown = capsys.readouterr()
        assert shown.out == ""
        assert last["message"] in shown.err
        return dict(last)

    return run


@pytest.fixture
def at_server(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A store at a server, which nobody waits for."""
    monkeypatch.setattr(work, "Client", lambda *about: Client(*about[:3], patience=0))
    (tmp_path / "token").write_text("T\n")
    return ["--store", server.url, "--token-file", tmp_path / "token", "--ca", server.ca]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (0, 4, "store_unreachable"),
        (503, 4, "store_unreachable"),
        (403, 5, "store_refused"),
        (507, 6, "store_full"),
        (404, 3, "not_found"),
    ],
)
def test_answers_of_a_server(
    status: int, code: int, error: str, server: Any, at_server: list[object], failing: Run
) -> None:
    server.answer = lambda *_: (status, {"error": "x", "message": "no", "remedy": "wait"})
    assert failing(code, "verify", "pc@20260101T000000Z", *at_server)["error"] == error


def test_image_damaged(server: Any, at_server: list[object], failing: Run) -> None:
    server.answer = lambda *_: (200, b'{"format": 1, "cut off')
    assert failing(7, "verify", "pc@20260101T000000Z", *at_server)["error"] == "image_damaged"


def test_a_machine_that_no_session_booted(
    server: Any, tmp_path: Path, failing: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.json"
    site.write_text(json.dumps({"server": server.url, "ca": str(server.ca)}))
    monkeypatch.setattr(place, "SITE_FILE", site)
    assert failing(12, "checkin", "--timeout", 1)["error"] == "checkin_refused"
    assert server.asked == []


def test_a_fault_of_the_agent(
    tmp_path: Path, failing: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(list_images, "run", broken)
    assert failing(70, "list", "--store", tmp_path)["error"] == "internal"


def test_stopped_by_a_signal(tmp_path: Path, failing: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(list_images, "run", stopped)
    assert "SIGTERM" in failing(130, "list", "--store", tmp_path)["message"]
