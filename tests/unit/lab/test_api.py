# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of whole trips rely on: consoles, markers, logs."""

import json
import threading
import time
from pathlib import Path

import pytest
from slipway_lab import api, qemu, switch
from slipway_lab.api import Lab, Pc
from slipway_lab.config import Config
from slipway_lab.errors import LabError


@pytest.fixture
def pc(lab: Config) -> Pc:
    found = Lab(lab).pc("old")
    found.console_path.parent.mkdir(parents=True)
    return found


def test_a_console_is_read_from_where_one_stopped(pc: Pc) -> None:
    pc.console_path.write_text("first boot\n")
    since = pc.console_offset()
    with pc.console_path.open("ab") as log:
        log.write(b"second boot \xff\n")
    assert pc.console(since) == "second boot \ufffd\n"
    assert pc.wait_for_serial("^second (.*) ", since).group(1) == "boot"


def test_waiting_sees_what_is_said_later(pc: Pc) -> None:
    def speak() -> None:
        time.sleep(0.2)
        pc.console_path.write_text("hello\n")

    speaker = threading.Thread(target=speak)
    speaker.start()
    pc.wait_for_serial("hello", timeout=5)
    speaker.join()


def test_a_silent_pc_is_described(pc: Pc) -> None:
    pc.console_path.write_text("GRUB loading\n")
    with pytest.raises(LabError, match=r"old is off and did not say 'login:'(.|\n)*GRUB loading"):
        pc.wait_for_serial("login:", timeout=0.1)


def test_only_the_right_marker_on_the_right_root_counts(pc: Pc, lab: Config) -> None:
    paper = lab.paths.record("old")
    paper.parent.mkdir(parents=True)
    paper.write_text(json.dumps({"marker": "abc123", "root_uuid": "11-22"}))
    pc.console_path.write_text("SLIPWAY-LAB host=old marker=abc123 root=other\n")
    with pytest.raises(LabError):
        pc.wait_for_own_disk(timeout=0.1)
    pc.console_path.write_text("SLIPWAY-LAB host=old marker=abc123 root=11-22\n")
    pc.wait_for_own_disk(timeout=0.1)


def test_the_disk_of_a_pc_that_is_on_is_not_overwritten(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "pid", lambda *_: 1)
    with pytest.raises(LabError, match="old is on"):
        pc.overwrite_disk()


def test_power_events(lab: Config) -> None:
    first = {"time": "t1", "source": "control", "pc": "old", "action": "on", "changed": True}
    second = {"time": "t2", "from": "52:54:00:00:00:01", "via": "udp", "mac": "m", "pc": "old"}
    log: Path = lab.paths.power_log
    log.write_text(json.dumps(first) + "\n")
    since = Lab(lab).power_log_offset()
    with log.open("a") as file:
        file.write(json.dumps({**second, "action": "turned on"}) + "\n" + '{"time": "half')
    (event,) = Lab(lab).power_events(since)
    assert (event.pc, event.action, event.source) == ("old", "turned on", "52:54:00:00:00:01")
    assert len(Lab(lab).power_events()) == 2


@pytest.mark.parametrize(("heeds", "timeout"), [(1, 0.005), (3, 5)])
def test_the_power_button_is_pressed_until_it_is_heeded(
    pc: Pc, monkeypatch: pytest.MonkeyPatch, heeds: int, timeout: float
) -> None:
    pressed: list[str] = []
    monkeypatch.setattr(api, "PRESS_AGAIN", 0.01)
    monkeypatch.setattr(switch, "request", lambda config, verb, name: pressed.append(verb))
    monkeypatch.setattr(qemu, "pid", lambda *_: None if len(pressed) == heeds else 1)
    pc.shutdown(timeout)
    assert pressed == ["shutdown"] * heeds


def test_a_pc_that_stays_on_is_told(pc: Pc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "request", lambda *_: None)
    monkeypatch.setattr(qemu, "pid", lambda *_: 1)
    with pytest.raises(LabError, match=r"old is still on after 0\.1 s"):
        pc.shutdown(0.1)
