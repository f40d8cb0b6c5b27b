# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` shows: few lines in a log, bars on a terminal, everything in its log file."""

import io

import pytest
from slipway_lab.demo_view import View, bar

RUN = """
TASK [slipway.imaging.imaging_session : Wake the machine] ****
\x1b[0;32mok: [pc1]\x1b[0m
pc1  waiting for the machine: 1 magic packet sent, 0:11 of 10:00
pc1  waiting for the machine: 2 magic packets sent, 0:23 of 10:00
pc1  map disk0
pc1  backup disk0:1   3 %  13.6 MB of 367 MB  1.5 MB/s  4:03 left
pc1  backup disk0:1  17 %  64.0 MB of 367 MB  5.3 MB/s  0:57 left
pc1  backup disk0:1  51 %  190 MB of 367 MB  5.4 MB/s  0:33 left
pc1  backup disk0:1  79 %  290 MB of 367 MB  10.7 MB/s  0:07 left
pc1  backup done  pc1@20261129T151339Z  read 367 MB  0:55
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(out: io.StringIO) -> tuple[str, str]:
    log = io.StringIO()
    now = iter(range(100, 200, 35))
    view = View(out, log, clock=lambda: float(next(now)))
    view.begin("Back up pc1")
    for line in RUN.splitlines():
        view.event({"stdout": line})
    view.end()
    return out.getvalue(), log.getvalue()


def test_a_log_gets_one_line_for_each_stage() -> None:
    shown, log = shown_on(io.StringIO())
    assert shown.splitlines() == [
        "=== Back up pc1",
        "    pc1  waiting for the machine: 1 magic packet sent, 0:11 of 10:00",
        "    pc1  map disk0",
        "    pc1  backup disk0:1  [........................]   3 %  13.6 MB of 367 MB  1.5 MB/s  "
        "4:03 left",
        "    pc1  backup disk0:1  [############............]  51 %  190 MB of 367 MB  5.4 MB/s  "
        "0:33 left",
        "    pc1  backup done  pc1@20261129T151339Z  read 367 MB  0:55",
        "    done in 0:35",
    ]
    for line in filter(None, RUN.splitlines()):
        assert line.replace("\x1b[0;32m", "").replace("\x1b[0m", "") in log


def test_a_terminal_shows_each_machine_once_at_a_time() -> None:
    shown, _ = shown_on(Terminal())
    # What is left on the screen when every line that was drawn anew is taken away.
    screen: list[str] = []
    for part in shown.split("\x1b["):
        code, _, text = part.partition("A") if part[:1].isdigit() else ("", "", part)
        if code.isdigit():
            del screen[-int(code) :]
        screen += text.removeprefix("J").splitlines()
    assert screen == ["=== Back up pc1", "    done in 0:35"]
    assert "[##################......]  79 %" in shown


@pytest.mark.parametrize("text", ["backup disk0:1  100 %  1 B of 1 B", "x  250 %  y", "done", ""])
def test_bars_never_overflow(text: str) -> None:
    assert len(bar(text)) <= len(text) + 30
