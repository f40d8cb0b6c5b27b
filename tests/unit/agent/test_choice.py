# SPDX-License-Identifier: GPL-3.0-or-later
"""The conversation with the person who chose an item, and what is sent for it."""

from __future__ import annotations

import json
import os
import pty
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.cli.choice import Conversation
from slipway.cli.terminals import Terminals
from slipway.engine.errors import CheckinRefused, StoreUnreachable
from slipway.net.choice import Desk, JobStatus, Refusal, Wish, wish
from slipway.net.site import Site

QUEUED = JobStatus(
    machine="pc1",
    action="backup",
    title="Back up",
    image="pc1",
    state="queued",
    outcome="",
    message="",
    remedy="",
    place=3,
    runner=True,
    session="",
)
RUNNING = replace(QUEUED, state="running", place=0)
JOINED = replace(RUNNING, session="0123456789abcdef")
DONE = replace(JOINED, state="ended", outcome="done")
FAILED = replace(DONE, outcome="failed", message="The disk is gone.", remedy="Look for it.")
Step = JobStatus | Refusal | Exception


class Person:
    """A terminal with somebody in front of it."""

    def __init__(self, answers: Sequence[str | None] = ()) -> None:
        self.seen: list[str] = []
        self.asked: list[tuple[str, bool]] = []
        self.waited: list[float] = []
        self._answers = list(answers)

    def draw(self, lines: Sequence[str]) -> None:
        self.seen.append("\n".join(lines))

    def ask(self, prompt: str, seconds: float, secret: bool = False) -> str | None:
        self.asked.append((prompt, secret))
        return self._answers.pop(0)

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


class FakeDesk:
    """Answers in order, and remembers what it was told."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.told: list[tuple[str | None, str | None]] = []
        self._steps = list(steps)

    def choose(self, password: str | None, image: str | None) -> JobStatus | Refusal:
        self.told.append((password, image))
        return self.look()

    def look(self) -> JobStatus | Refusal:
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def talk(steps: Sequence[Step], *answers: str | None, **how: Any) -> tuple[str, Person, FakeDesk]:
    person, desk = Person(answers), FakeDesk(steps)
    joined: list[str] = []
    ticks: Iterator[float] = iter(range(0, 10_000_000, int(how.pop("tick", 1))))
    conversation = Conversation(
        desk,
        person,
        how.pop("join", joined.append),
        lambda: ("Slipway   pc1", "backup 42.0%"),
        sleep=lambda seconds: None,
        clock=lambda: float(next(ticks)),
    )
    end = conversation.run()
    assert desk._steps == []
    return end, person, desk


def test_queue_session_progress_result() -> None:
    end, person, _ = talk([QUEUED, replace(QUEUED, place=1), RUNNING, JOINED, DONE])
    assert end == "restart"
    shown = "\n".join(person.seen)
    for words in (
        "2 before this PC",
        "nothing before this PC",
        "this PC's turn",
        "backup 42.0%",
        "Back up: done",
        "restarts",
    ):
        assert words in shown
    assert person.waited == [20]


def test_it_joins_each_session_once() -> None:
    joined: list[str] = []
    talk([RUNNING, JOINED, JOINED, JOINED, DONE], join=joined.append)
    assert joined == [JOINED.session]


def test_a_failure_is_said_with_its_remedy() -> None:
    end, person, _ = talk([RUNNING, FAILED])
    assert end == "restart"
    assert "failed" in person.seen[-1]
    assert "The disk is gone." in person.seen[-1]
    assert "What helps: Look for it." in person.seen[-1]
    assert "menu" in person.seen[-1]
    assert person.waited == [60]


def test_a_missing_runner_is_said() -> None:
    _, person, _ = talk([replace(QUEUED, runner=False), DONE])
    assert "job runner on the image server does not run" in "\n".join(person.seen)


def test_password_until_it_fits() -> None:
    wanted = Refusal("password_required", "Password, please.", "")
    wrong = Refusal("wrong_password", "The password is wrong.", "", wait_seconds=2)
    slow = Refusal("too_many_tries", "Wait 9 s.", "", wait_seconds=9)
    _, person, desk = talk([wanted, wrong, slow, DONE], "one", "two", "three")
    assert [told[0] for told in desk.told] == [None, "one", "two", "three"]
    assert person.asked == [("Password: ", True)] * 3
    assert "Next try in 9 s." in "\n".join(person.seen)
    assert "three" not in "\n".join(person.seen)


@pytest.mark.parametrize(("typed", "words"), [("", "Nothing was started"), (None, "Nobody")])
def test_nobody_types_a_password(typed: str | None, words: str) -> None:
    end, person, _ = talk([Refusal("password_required", "Password?", "")], typed)
    assert end == "restart"
    assert words in person.seen[-1]


def test_an_image_is_picked_from_the_list() -> None:
    asked = Refusal("image_required", "Pick.", "", images=("base", "exam@20260101T000000Z"))
    _, person, desk = talk([asked, DONE], "7", "x", "2")
    assert desk.told[-1] == (None, "exam@20260101T000000Z")
    assert "Type a number from 1 to 2." in person.seen[3]
    _, person, _ = talk([asked], "")
    assert "Nothing was started" in person.seen[-1]


def test_the_password_stays_while_an_image_is_picked() -> None:
    wanted = Refusal("password_required", "Password?", "")
    pick = Refusal("image_required", "Pick.", "", images=("base",))
    _, _, desk = talk([wanted, pick, DONE], "secret", "1")
    assert desk.told[-1] == ("secret", "base")


@pytest.mark.parametrize("error", ["no_such_item", "machine_busy", "unknown_image", "whatever"])
def test_refusals_are_said_and_lead_back(error: str) -> None:
    end, person, _ = talk([Refusal(error, "No.", "Do this.")])
    assert end == "restart"
    assert "No." in person.seen[-1] and "What helps: Do this." in person.seen[-1]


def test_a_shell_only_when_the_server_said_so() -> None:
    granted = replace(DONE, action="rescue_shell", session="")
    assert talk([granted])[0] == "shell"
    assert talk([replace(granted, outcome="failed")])[0] == "restart"
    assert talk([Refusal("no_such_item", "No.", "")])[0] == "restart"


def test_a_server_that_is_away_for_a_while() -> None:
    away = StoreUnreachable("no answer")
    end, _, desk = talk([away, away, QUEUED, away, RUNNING, JOINED, away, DONE])
    assert end == "restart"
    assert len(desk.told) == 3


def test_a_server_that_stays_away() -> None:
    away = StoreUnreachable("no answer", "look at it")
    _, person, _ = talk([QUEUED, away], tick=200)
    assert "no answer" in person.seen[-1]


def test_a_check_in_that_is_refused_is_said() -> None:
    def refuse(session: str) -> None:
        raise CheckinRefused("not you", "ask")

    end, person, _ = talk([JOINED], join=refuse)
    assert end == "restart"
    assert "not you" in person.seen[-1]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("quiet slipway.item=backup x", Wish("backup")),
        ("slipway.item=r slipway.once=0123456789abcdef", Wish("r", "0123456789abcdef")),
    ],
)
def test_wish(line: str, found: Wish) -> None:
    assert wish(line) == found


@pytest.mark.parametrize("line", ["quiet", "slipway.item=", "slipway.item=\u00e4"])
def test_no_wish(line: str) -> None:
    with pytest.raises(CheckinRefused):
        wish(line)


@pytest.fixture
def root(tmp_path: Path, mock_command: Callable[..., Any]) -> Path:
    mock_command("lsblk", '{"blockdevices": []}')
    for path, text in {
        "etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 AAAAC3 root@pc\n",
        "sys/class/net/eth0/type": "1\n",
        "sys/class/net/eth0/address": "52:54:00:00:00:01\n",
        "sys/class/net/eth0/device/vendor": "0x1af4\n",
    }.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(text)
    return tmp_path / "root"


def test_what_the_desk_sends_and_understands(server: Any, root: Path) -> None:
    desk = Desk(Site(server.url, server.ca), Wish("backup", "0" * 16), "n" * 32, root)
    server.answer = lambda *_: (429, {"error": "too_many_tries", "message": "m", "wait_seconds": 3})
    assert desk.choose("secret", None) == Refusal(
        "too_many_tries", "m", "look at the service's log", wait_seconds=3
    )
    assert len(server.asked) == 1, "a pause is for the person to see, not for the client to sit out"
    told = json.loads(server.asked[0][2])
    assert told["macs"] == ["52:54:00:00:00:01"]
    assert (told["item"], told["once"], told["password"]) == ("backup", "0" * 16, "secret")
    assert told["host_key"] == "ssh-ed25519 AAAAC3"
    listed = [{"image": "base", "versions": 1}]
    server.answer = lambda *_: (409, {"error": "image_required", "images": listed})
    refused = desk.choose(None, None)
    assert isinstance(refused, Refusal) and refused.images == ("base",)
    job = {"machine": "pc1", "state": "queued", "place": 2, "runner": True, "session": None}
    server.answer = lambda *_: (201, {"token": "T", "job": job})
    got = desk.choose(None, None)
    assert isinstance(got, JobStatus)
    assert (got.place, got.runner, got.session, got.outcome) == (2, True, "", "")
    server.answer = lambda *_: (200, {})
    with pytest.raises(StoreUnreachable):
        desk.look()


@pytest.fixture
def terminal() -> Iterator[tuple[int, Terminals]]:
    """A real terminal: what is typed at its other end is read line by line."""
    leader, follower = pty.openpty()
    made = Terminals([Path(os.ttyname(follower))])
    yield leader, made
    os.close(leader)
    os.close(follower)


def heard(leader: int) -> str:
    time.sleep(0.2)
    return os.read(leader, 65536).decode()


def type_soon(leader: int, text: bytes) -> None:
    threading.Timer(0.3, os.write, (leader, text)).start()


def test_a_secret_is_not_echoed(terminal: tuple[int, Terminals]) -> None:
    leader, screens = terminal
    type_soon(leader, b"pass  word \r")
    assert screens.ask("Password: ", 10, secret=True) == "pass  word "
    said = heard(leader)
    assert "Password: " in said
    assert "word" not in said.replace("Password", "")
    type_soon(leader, b"2\r")
    assert screens.ask("Number: ", 10) == "2"
    assert "2" in heard(leader)


def test_nobody_types(terminal: tuple[int, Terminals]) -> None:
    assert terminal[1].ask("Password: ", 0.2, secret=True) is None


def test_what_was_typed_before_the_question_does_not_count(
    terminal: tuple[int, Terminals],
) -> None:
    leader, screens = terminal
    os.write(leader, b"too early\r")
    time.sleep(0.2)
    type_soon(leader, b"now\r")
    assert screens.ask("Password: ", 10, secret=True) == "now"


def test_a_serial_line_gets_what_changed(terminal: tuple[int, Terminals]) -> None:
    leader, screens = terminal
    screens.draw(["title", "", "10%"])
    screens.draw(["title", "", "20%"])
    said = heard(leader)
    assert said.count("title") == 1
    assert "10%" in said and "20%" in said


def test_a_terminal_that_is_not_there(tmp_path: Path) -> None:
    screens = Terminals([tmp_path / "nowhere"])
    screens.draw(["x"])
    assert screens.ask("?", 0.1) is None


def test_any_key_counts_and_only_those_pressed_from_now_on(
    terminal: tuple[int, Terminals],
) -> None:
    keyboard, made = terminal
    os.write(keyboard, b"early\n")
    # A pty hands on what is written to it in its own time.
    [(ear, _)] = made._pairs
    assert select.select([ear], [], [], 20)[0]
    assert not made.pressed(0.2)
    threading.Timer(0.2, os.write, (keyboard, b"x")).start()
    assert made.pressed(20)
