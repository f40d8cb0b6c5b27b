# SPDX-License-Identifier: GPL-3.0-or-later
"""The power switch starts the right PC once, logs what it saw, and outlives bad clients."""

import json
import socket
import threading

import pytest
from slipway_lab import qemu, switch
from slipway_lab.config import Config, Machine
from slipway_lab.errors import LabError

WAKE_OLD = b"\xff" * 12 + b"\x08\x42" + b"\xff" * 6 + bytes.fromhex("525400990001") * 16
WAKE_NOBODY = b"\xff" * 12 + b"\x08\x42" + b"\xff" * 6 + bytes.fromhex("525400990009") * 16


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace QEMU: remember who was started, and count him as on."""
    names: list[str] = []

    def start(_config: Config, machine: Machine, _accel: str) -> None:
        names.append(machine.name)

    monkeypatch.setattr(qemu, "start", start)
    monkeypatch.setattr(qemu, "pid", lambda _config, name: 1 if name in names else None)
    return names


def log(lab: Config) -> list[dict[str, object]]:
    return [json.loads(line) for line in lab.paths.power_log.read_text().splitlines()]


def test_a_magic_packet_turns_its_pc_on_once(lab: Config, started: list[str]) -> None:
    tested = switch.Switch(lab, "tcg")
    tested.on_frame(WAKE_OLD)
    tested.on_frame(WAKE_OLD)
    tested.on_frame(b"\0" * 60)
    assert started == ["old"]
    assert [entry["action"] for entry in log(lab)] == ["turned on", "is on already"]
    assert log(lab)[0]["from"] == "ff:ff:ff:ff:ff:ff"


def test_a_packet_for_nobody_is_logged(lab: Config, started: list[str]) -> None:
    switch.Switch(lab, "tcg").on_frame(WAKE_NOBODY)
    assert started == []
    assert log(lab)[0]["mac"] == "52:54:00:99:00:09"
    assert log(lab)[0]["pc"] is None


def test_a_pc_that_does_not_start_does_not_end_the_switch(
    lab: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LabError("QEMU did not start old: no such file")

    monkeypatch.setattr(qemu, "start", fail)
    switch.Switch(lab, "tcg").on_frame(WAKE_OLD)
    assert "no such file" in str(log(lab)[0]["action"])


def conversation(lab: Config, words: bytes) -> dict[str, object]:
    """Send raw words to the switch and return its answer."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(words)
        ours.shutdown(socket.SHUT_WR)
        switch._answer(switch.Switch(lab, "tcg"), theirs)
        return dict(json.loads(ours.makefile().read()))


def test_requests(lab: Config, started: list[str]) -> None:
    assert conversation(lab, b'{"do": "on", "pc": "new"}\n') == {"changed": True}
    assert conversation(lab, b'{"do": "on", "pc": "new"}\n') == {"changed": False}
    assert conversation(lab, b'{"do": "off", "pc": "old"}\n') == {"changed": False}
    assert conversation(lab, b'{"do": "ping"}\n')["accel"] == "tcg"
    assert started == ["new"]


@pytest.mark.parametrize(
    "words",
    [b"", b"no json\n", b"[]\n", b'{"do": "explode", "pc": "old"}\n', b'{"do": "on"}\n', b"\xff\n"],
)
def test_bad_requests_are_answered(lab: Config, words: bytes) -> None:
    assert "error" in conversation(lab, words)


def test_a_switch_that_is_gone_is_named_with_the_remedy(lab: Config) -> None:
    with pytest.raises(LabError, match=r"does not answer.*make lab"):
        switch.request(lab, "ping")


def test_request_and_door_understand_each_other(lab: Config, started: list[str]) -> None:
    with switch._open_door(lab) as door:
        tested = switch.Switch(lab, "tcg")
        serving = threading.Thread(target=lambda: switch._answer(tested, door.accept()[0]))
        serving.start()
        assert switch.request(lab, "on", "old") == {"changed": True}
        serving.join()
