# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay host wakes a machine: the role's own tasks; this host is relay and image server."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ...fixtures import warm_python

pytestmark = pytest.mark.plays

ROOT = Path(__file__).resolve().parents[3]
PACKET = b"\xff" * 6 + bytes.fromhex("525400770001") * 16
# Debian's own Python has no wakeonlan, as on any relay.
PYTHON = "/usr/bin/python3"
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": PYTHON,
}


class Card:
    """Hears what is sent to a UDP port of this host."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.at_second: Callable[[], object] = str
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while packet := self.socket.recv(200):
            self.heard.append(packet)
            if len(self.heard) == 2:
                self.at_second()

    def close(self) -> None:
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


@pytest.fixture
def card() -> Iterator[Card]:
    card = Card()
    yield card
    card.close()


@pytest.fixture
def inventory(tmp_path: Path, card: Card, service: Any) -> Path:
    wake = {
        "machine_macs": ["52:54:00:77:00:01"],
        "machine_wake_relay": "printer",
        "machine_wake_broadcast": "127.0.0.1",
        "imaging_session_wake_interface": "lo",
        "imaging_session_wake_port": card.port,
        "imaging_session_wake_timeout": 20,
        "imaging_session_wake_interval": 1,
        "imaging_session_server_python": PYTHON,
        "imaging_session_admin_socket": service.path,
    }
    other = {**wake, "machine_macs": ["52:54:00:77:00:02"], "machine_wake_relay": "nosuch"}
    hosts = {
        "image_servers": {"hosts": {"img": {**HERE, "image_server_address": "192.0.2.1"}}},
        "others": {"hosts": {"printer": HERE}},
        "machines": {"hosts": {"pc1": wake, "pc2": other}},
    }
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(hosts))
    return path


def play(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000"}
    environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    return subprocess.run(
        [*warm_python.ansible(environment), "-i", str(inventory), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_relay_wakes_without_a_library(inventory: Path, card: Card) -> None:
    done = play(inventory, "playbooks/wake.yml", "-l", "pc1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert card.heard == [PACKET] * 3
    assert "3 magic packets for 52:54:00:77:00:01 from lo (127.0.0.1) to 127.0.0.1" in done.stdout


def test_a_relay_wakes_again_until_the_time_is_over(
    inventory: Path, card: Card, service: Any, session: Callable[..., Any]
) -> None:
    service.answer("GET", "/v1/whereabouts/pc1", {"addresses": [], "host_key": None})
    service.answer("POST", "/v1/sessions", session(), status=201)
    service.answer("GET", "/v1/sessions/0123456789abcdef", session())
    service.answer("DELETE", "/v1/sessions/0123456789abcdef", session())
    over = session(state="ended", outcome="expired")
    card.at_second = lambda: service.answer("GET", "/v1/sessions/0123456789abcdef", over)
    done = play(inventory, "playbooks/backup.yml", "-l", "pc1")
    assert done.returncode != 0
    assert len(card.heard) > 1, done.stdout
    assert set(card.heard) == {PACKET}
    said = f"Sent: {len(card.heard)} magic packets for 52:54:00:77:00:01 from lo"
    assert said in done.stdout, done.stdout


def test_a_relay_that_nobody_knows_is_refused(inventory: Path, card: Card, service: Any) -> None:
    done = play(inventory, "playbooks/backup.yml", "-l", "pc2")
    assert done.returncode != 0
    assert (
        'machine_wake_relay must name a host of the inventory that is no machine (now "nosuch")'
        in (done.stdout)
    )
    assert (card.heard, service.asked) == ([], [])


def test_nobody_wakes_when_the_command_line_forbids_it(
    inventory: Path, card: Card, service: Any, session: Callable[..., Any]
) -> None:
    """`-e imaging_session_wake=false` is text, not a truth value."""
    service.answer("POST", "/v1/sessions", session(), status=201)
    service.answer("GET", "/v1/sessions/0123456789abcdef", session(state="ended", outcome="failed"))
    service.answer("DELETE", "/v1/sessions/0123456789abcdef", session())
    done = play(inventory, "playbooks/backup.yml", "-l", "pc1", "-e", "imaging_session_wake=false")
    assert done.returncode != 0
    assert "ended meanwhile" in done.stdout
    assert card.heard == []
