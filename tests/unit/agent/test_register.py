# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration at the PC: what it says, what the person in front of it sees, how it ends."""

import json
import os
import pty
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.cli import place
from slipway.cli import register as dialogue
from slipway.cli.main import main
from slipway.cli.register import register
from slipway.cli.screens import Screens
from slipway.cli.verbs import register as register_verb
from slipway.engine.errors import CheckinRefused, StoreUnreachable
from slipway.net.registration import Registration, Standing
from slipway.net.site import Site
from slipway_server.api.models.registrations import RegistrationRequest

from ...fixtures.lsblk import block_device

NONCE = "n" * 32


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path, mock_command: Callable[..., Any]) -> Path:
    disk = block_device("sda", 1000, serial="D\u001b1", model="M", tran="sata")
    mock_command("lsblk", json.dumps({"blockdevices": [disk] * 50}))
    root = tmp_path / "root"
    for number in (1, 2):
        card = root / f"sys/class/net/eth{number}"
        write(card / "type", "1\n")
        write(card / "address", f"52:54:00:00:00:0{number}\n")
        write(card / "device/vendor", "0x8086\n")
        write(card / "device/device", "0x10d3\n")
    write(root / "drivers/e1000e/module", "")
    (root / "sys/class/net/eth1/device/driver").symlink_to(root / "drivers/e1000e")
    write(root / "sys/class/dmi/id/sys_vendor", "Acme\n")
    (root / "sys/class/dmi/id/product_serial").write_bytes(b"S\xff\xfe\x1b[2J" + b"x" * 1_000_000)
    write(root / "proc/cpuinfo", "model name : Chip\n")
    write(root / "proc/meminfo", "MemTotal:       1024 kB\n")
    return root


def own(state: str, **more: Any) -> dict[str, Any]:
    told = {"id": "1", "name": "pc-1", "machine": None, "reason": None, "waiting": 3}
    return told | {"state": state} | more


def test_whatever_the_hardware_says_the_server_takes_the_report(server: Any, root: Path) -> None:
    server.answer = lambda *_: (201, {"token": "T", "registration": own("waiting")})
    registration = Registration(Site(server.url, server.ca), NONCE, root)
    assert registration.report().name == "pc-1"
    body = json.loads(server.asked[0][2])
    taken = RegistrationRequest.model_validate_json(json.dumps(body))
    assert taken.macs == ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert taken.hardware.cards[0].driver == "e1000e"
    assert taken.hardware.cards[1].device == "8086:10d3"
    assert taken.hardware.serial.startswith("S") and len(taken.hardware.serial) <= 128
    assert taken.name is None
    registration.report("pc7")
    assert json.loads(server.asked[1][2])["name"] == "pc7"


def test_answers(server: Any, root: Path) -> None:
    registration = Registration(Site(server.url, server.ca), NONCE, root)
    assert registration.standing() is None
    answers: list[tuple[int, Any]] = []
    server.answer = lambda *_: answers.pop(0)
    answers += [
        (403, {"message": "not \x1b[2J ours"}),
        (409, {"message": "waits already"}),
        (429, {}),
        (422, {}),
        (201, {"token": "T"}),
        (201, {"token": "T", "registration": own("waiting")}),
        (200, own("approved", machine="pc3")),
        (401, {}),
        (404, {}),
    ]
    assert registration.report() == Standing("refused", reason="not ?[2J ours")
    for error in (StoreUnreachable, StoreUnreachable, CheckinRefused, StoreUnreachable):
        with pytest.raises(error):
            registration.report()
    registration.report()
    assert registration.standing() == Standing("approved", "pc-1", "pc3", "", 3)
    assert server.asked[-1][3] == "Bearer T"
    assert registration.standing() is None
    with pytest.raises(StoreUnreachable):
        registration.standing()


class Person:
    """Types lines one after another, and reads what is said."""

    def __init__(self, *lines: str | None) -> None:
        self.lines = list(lines)
        self.said: list[str] = []

    def say(self, *lines: str) -> None:
        self.said += lines

    def typed(self, seconds: float) -> str | None:
        return self.lines.pop(0) if self.lines else None


class Queue:
    """Stands in for the server: answers in their order, an error is raised."""

    def __init__(self, *answers: Any) -> None:
        self.facts = {"vendor": "Acme", "model": "PC", "serial": "S1", "disks": [], "cards": []}
        self.answers = list(answers)
        self.asked: list[str] = []

    def _next(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def report(self, name: str = "") -> Any:
        self.asked.append(f"report {name}".strip())
        return self._next()

    def standing(self) -> Any:
        self.asked.append("standing")
        return self._next()


def test_it_waits_says_so_and_reboots(mock_command: Callable[..., Any]) -> None:
    systemctl = mock_command("systemctl")
    waiting = Standing("waiting", "pc-s1", waiting=3)
    queue = Queue(
        StoreUnreachable("no answer"),
        waiting,
        waiting,
        None,
        waiting,
        Standing("waiting", "pc7"),
        Standing("approved", machine="pc7"),
    )
    person, slept = Person(None, None, "PC 7!", "pc7"), []
    assert register(queue, person, "https://127.0.0.1", True, slept.append)  # type: ignore[arg-type]
    assert queue.asked == [
        "report",
        "report",
        "standing",
        "standing",
        "report",
        "report pc7",
        "standing",
    ]
    said = "\n".join(person.said)
    assert "no answer" in said and "as 2 other PCs do" in said and "approved as pc-s1" in said
    assert "PC 7! can't be" in said
    assert "this PC is pc7 now. It reboots in 15 seconds" in said
    assert slept == [15]
    assert systemctl.calls == [["--no-block", "reboot"]]


def test_refused_it_says_why_and_switches_off(mock_command: Callable[..., Any]) -> None:
    systemctl = mock_command("systemctl")
    queue, person, slept = Queue(Standing("refused", reason="not ours")), Person(), []
    assert not register(queue, person, "https://127.0.0.1", True, slept.append)  # type: ignore[arg-type]
    assert "not ours" in "\n".join(person.said)
    assert (slept, systemctl.calls) == ([60], [["--no-block", "poweroff"]])


def test_screens_speak_and_hear() -> None:
    ours, theirs = pty.openpty()
    screens = Screens([Path(os.ttyname(theirs)), Path("/dev/nosuch")])
    screens.say("hello")
    assert os.read(ours, 100).strip() == b"hello"
    assert screens.typed(0.01) is None
    os.write(ours, b"pc\xff7 \n")
    assert screens.typed(5) == "pc\ufffd7"
    # A terminal that hangs up is asked no more: the wait stays a wait.
    os.close(theirs)
    os.close(ours)
    screens.typed(0.2)
    began = time.monotonic()
    assert screens.typed(0.2) is None
    assert time.monotonic() - began >= 0.2


def test_the_command(
    server: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    site = tmp_path / "site.json"
    monkeypatch.setattr(place, "SITE_FILE", site)
    monkeypatch.setattr(place, "NONCE_FILE", tmp_path / "nonce")
    monkeypatch.setattr(dialogue, "POLL", 0.01)
    assert main(["register"]) == 2
    assert "can't be registered" in capfd.readouterr().out
    site.write_text(json.dumps({"server": server.url, "ca": str(server.ca)}))
    monkeypatch.setattr(
        register_verb, "Registration", lambda site, nonce: Registration(site, nonce, root)
    )
    answers = [
        (201, {"token": "T", "registration": own("waiting")}),
        (200, own("approved", machine="pc3")),
    ]
    server.answer = lambda *_: answers.pop(0)
    assert main(["register"]) == 0
    assert "pc3" in capfd.readouterr().out
    server.answer = lambda *_: (403, {"message": "no"})
    assert main(["register"]) == 12
