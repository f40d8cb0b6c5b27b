# SPDX-License-Identifier: GPL-3.0-or-later
"""The last word of a job whose agent could not say it, and what signs all words of a job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.cli.console import Console
from slipway.cli.main import main
from slipway.engine.progress import Meter
from slipway.net.session import Reporter, Session

ERROR = {"type": "error", "error": "usage", "message": "no", "remedy": "x", "exit_code": 2}


@pytest.fixture
def session_file(tmp_path: Path, server: Any) -> Path:
    server.answer = lambda *_: (200, {})
    path = tmp_path / "session.json"
    Session(server.url, str(server.ca), "secret", "s1", "pc1", "backup", "pc1").save(path)
    return path


@pytest.fixture
def ended(
    tmp_path: Path,
    session_file: Path,
    mock_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Be what systemd starts behind a job's unit; return what goes into the job's log."""
    mock_command("journalctl", "Traceback\nMemoryError\n")
    log = tmp_path / "jobs/job-1.jsonl"
    log.parent.mkdir()

    def run(result: str, status: str, *records: object) -> str:
        log.write_text("".join(f"{json.dumps(record)}\n" for record in records))
        monkeypatch.setenv("SERVICE_RESULT", result)
        monkeypatch.setenv("EXIT_STATUS", status)
        words = ["ended", "slipway-job-job-1", "--session", str(session_file)]
        assert main([*words, "--log", str(log), "--job", "job-1", "--json"]) == 0
        with log.open("a") as more:
            more.write(capsys.readouterr().out)
        return log.read_text()

    return run


def last_sent(server: Any) -> dict[str, Any]:
    [(method, path, body, token)] = server.asked
    assert (method, path, token) == ("POST", "/v1/session/result", "Bearer secret")
    said: dict[str, Any] = json.loads(body)
    return said


def test_a_killed_agent_is_told_of(
    ended: Callable[..., str], server: Any, session_file: Path
) -> None:
    log = ended("signal", "KILL", {"type": "progress", "done": 1})
    assert last_sent(server) == {
        "type": "killed",
        "result": "signal",
        "status": "KILL",
        "said": "Traceback MemoryError",
        "job": "job-1",
    }
    assert json.loads(log.splitlines()[-1])["type"] == "killed"
    jobs = session_file.parent / "jobs"
    assert Console(jobs, session_file).status().startswith("FAILED: the agent was killed (signal K")


def test_what_the_agent_could_say_but_not_send_is_sent(
    ended: Callable[..., str], server: Any
) -> None:
    """As one that was told nonsense and never got as far as its session."""
    log = ended("exit-code", "2", ERROR)
    assert last_sent(server) == ERROR | {"job": "job-1"}
    assert log == f"{json.dumps(ERROR)}\n"


def test_a_job_that_went_well_has_said_so_itself(ended: Callable[..., str], server: Any) -> None:
    ended("success", "0", {"type": "result"})
    assert server.asked == []


def test_warnings_go_with_all_words_and_have_an_end(server: Any, session_file: Path) -> None:
    reporter = Reporter(Session.load(session_file), "job-1")
    reporter.warning("slow")
    reporter.progress(Meter().record())
    for number in range(300):
        reporter.warning(f"{number} " + "\u00e9" * 600)
    reporter.finish({"type": "result", "verb": "backup"})
    said = [json.loads(body) for _method, _path, body, _token in server.asked]
    assert {each["job"] for each in said} == {"job-1"}
    assert all(each["warnings"][0] == "slow" for each in said)
    assert "more warnings" in said[-1]["warnings"][-1]
    assert len(json.dumps(said[-1]["warnings"])) < 12 << 10
