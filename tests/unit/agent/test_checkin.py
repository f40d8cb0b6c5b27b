# SPDX-License-Identifier: GPL-3.0-or-later
"""Check-in: what is told, and how each answer is taken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.errors import CheckinRefused, StoreUnreachable, UsageError
from slipway.net import checkin
from slipway.net.boot import boot_nonce, session_id, ticket_of
from slipway.net.checkin import check_in, is_told_to_stay, next_session, stay
from slipway.net.facts import firmware, hardware, secure_boot, wired_macs
from slipway.net.session import Session
from slipway.net.site import Site

from ...fixtures.lsblk import block_device

NONCE = "n" * 32
DISK = block_device("sda", 1000, serial=" S1 ", model="M\u001b[2J", tran="sata")
LSBLK = {"blockdevices": [DISK | {"phy-sec": 4096}]}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path, mock_command: Callable[..., Any]) -> Path:
    mock_command("lsblk", json.dumps(LSBLK))
    root = tmp_path / "root"
    write(root / "etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAC3 root@pc\n")
    for name, kind, mac, real in [
        ("eth0", "1", "52:54:00:00:00:01", True),
        ("eth1", "1", "52:54:00:00:00:02", True),
        ("br0", "1", "52:54:00:00:00:03", False),
        ("lo", "772", "00:00:00:00:00:00", False),
        ("wlan0", "1", "52:54:00:00:00:04", True),
        ("zero", "1", "00:00:00:00:00:00", True),
    ]:
        card = root / "sys/class/net" / name
        write(card / "type", f"{kind}\n")
        write(card / "address", f"{mac}\n")
        if real:
            (card / "device").mkdir()
    (root / "sys/class/net/wlan0/phy80211").mkdir()
    write(root / "sys/class/dmi/id/sys_vendor", "Acme\n")
    write(root / "sys/class/dmi/id/product_name", "PC \x1b[31m 3000\n")
    write(root / "proc/cpuinfo", "model name : Chip\nflags : x\n\nmodel name : Chip\n")
    write(root / "proc/meminfo", "MemTotal:       1024 kB\nMemFree: 5 kB\n")
    return root


def test_hardware(root: Path) -> None:
    facts = hardware(root)
    assert (facts["vendor"], facts["cpu"], facts["cpu_count"]) == ("Acme", "Chip", 2)
    assert facts["memory"] == 1024 * 1024
    assert facts["firmware"] == "bios"
    assert facts["disks"][0]["serial"] == "S1"
    assert all(text.isprintable() for text in (facts["model"], facts["disks"][0]["model"]))
    (root / "sys/firmware/efi").mkdir(parents=True)
    assert firmware(root) == "uefi"


def test_secure_boot_is_what_the_firmware_says(root: Path) -> None:
    assert secure_boot(root) is None
    name = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    variable = root / "sys/firmware/efi/efivars" / name
    variable.parent.mkdir(parents=True)
    for value, said in ((b"\1", True), (b"\0", False)):
        variable.write_bytes(b"\6\0\0\0" + value)
        assert secure_boot(root) is said


def test_only_wired_cards_of_the_machine(root: Path) -> None:
    assert wired_macs(root) == ["52:54:00:00:00:01", "52:54:00:00:00:02"]


def test_session_id() -> None:
    assert session_id("quiet slipway.session=0123abcd console=ttyS0") == "0123abcd"
    with pytest.raises(CheckinRefused):
        session_id("quiet")


def test_the_ticket_of_the_boot_script_is_shown(server: Any, root: Path) -> None:
    assert ticket_of("quiet slipway.session=0123 slipway.ticket=T-_1") == "T-_1"
    assert ticket_of("quiet slipway.session=0123") == ""
    granted = {"id": "s1", "machine": "pc1", "verb": "backup", "image": "pc1", "version": None}
    server.answer = lambda *_: (200, {"token": "T", "session": granted})
    site = Site(server.url, server.ca)
    check_in(site, "s1", print, NONCE, root, ticket="T-_1")
    check_in(site, "s1", print, NONCE, root)
    assert [json.loads(asked[2]).get("ticket") for asked in server.asked] == ["T-_1", None]


def test_check_in(server: Any, root: Path) -> None:
    granted = {"id": "s1", "machine": "pc1", "verb": "backup", "image": "pc1", "version": None}
    server.answer = lambda *_: (200, {"token": "T", "session": granted})
    said: list[str] = []
    session = check_in(Site(server.url, server.ca), "s1", said.append, "nonce", root)
    assert session == Session(server.url, str(server.ca), "T", "s1", "pc1", "backup", "pc1", "")
    told = json.loads(server.asked[0][2])
    assert told["macs"] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert told["host_key"] == "ssh-ed25519 AAAAC3"
    assert (told["session"], told["nonce"]) == ("s1", "nonce")
    # What the session may send goes by it.
    assert told["hardware"]["disk_bytes"] >= sum(each["size"] for each in hardware(root)["disks"])


@pytest.mark.parametrize("status", [404, 409, 410, 422])
def test_refusal_is_final_and_says_why(server: Any, root: Path, status: int) -> None:
    server.answer = lambda *_: (status, {"error": "x", "message": "not you", "remedy": "do this"})
    with pytest.raises(CheckinRefused, match="not you") as error:
        check_in(Site(server.url, server.ca), "s1", print, "nonce", root)
    assert (error.value.remedy, error.value.exit_code) == ("do this", 12)
    assert len(server.asked) == 1


def test_keeps_asking_a_server_that_is_not_there(
    server: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(checkin.time, "sleep", pauses.append)
    granted = {"id": "s1", "machine": "pc1", "verb": "service", "image": None, "version": None}
    answers: list[tuple[int, Any]] = [(503, {})] * 6 + [(200, {"token": "T", "session": granted})]
    server.answer = lambda *_: answers.pop(0)
    said: list[str] = []
    check_in(Site(server.url, server.ca), "s1", said.append, "nonce", root)
    assert pauses == [1, 2, 4, 8, 8, 8]
    assert len(said) == 6


def test_gives_up_when_told_to(server: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkin.time, "sleep", lambda pause: None)
    server.answer = lambda *_: (503, {})
    with pytest.raises(StoreUnreachable):
        check_in(Site(server.url, server.ca), "s1", lambda text: None, "n", root, timeout=0)


def test_no_host_key(server: Any, root: Path) -> None:
    (root / "etc/ssh/ssh_host_ed25519_key.pub").unlink()
    with pytest.raises(CheckinRefused):
        check_in(Site(server.url, server.ca), "s1", print, "nonce", root)
    assert server.asked == []


def test_nonce_lasts_for_the_boot(tmp_path: Path) -> None:
    first = boot_nonce(tmp_path / "run/nonce")
    assert boot_nonce(tmp_path / "run/nonce") == first
    assert len(first) >= 22
    assert (tmp_path / "run/nonce").stat().st_mode & 0o777 == 0o600


def test_heartbeats_end_with_the_session(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkin.time, "sleep", lambda pause: None)
    answers = [200, 503, 200, 410]
    server.answer = lambda *_: (answers.pop(0), {})
    said: list[str] = []
    stay(Session(server.url, str(server.ca), "T", "s1", "pc1", "backup", "pc1"), said.append)
    assert answers == []
    assert said[-1] == "the session has ended"


@pytest.mark.parametrize(
    ("body", "leave"),
    [
        ({"leave": "poweroff"}, "poweroff"),
        ({"leave": "reboot"}, "reboot"),
        ({"leave": "rm -rf /"}, ""),
        ({"leave": ["poweroff"]}, ""),
        ({}, ""),
    ],
)
def test_a_machine_that_nobody_may_wait_for_is_told_how_it_leaves(
    server: Any, body: Any, leave: str
) -> None:
    server.answer = lambda *_: (410, body)
    assert stay(Session(server.url, str(server.ca), "T", "s", "pc1", "backup", "x"), print) == leave


def test_a_farewell_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    told = tmp_path / "stay"
    monkeypatch.setattr(checkin.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkin.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    assert not is_told_to_stay(told)
    assert now == [60.0]
    told.touch()
    assert is_told_to_stay(told) and now == [60.0]


def test_machine_told_to_stay_takes_its_next_session(
    server: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(checkin.time, "sleep", pauses.append)
    answers = [(503, {}), (503, {}), (200, {"session": None}), (200, {"session": "s2"})]
    server.answer = lambda *_: answers.pop(0)
    told = tmp_path / "stay"
    told.touch()
    said: list[str] = []
    assert next_session(Site(server.url, server.ca), told, said.append, NONCE, root) == "s2"
    assert not told.exists(), "the next leave says anew whether to stay"
    assert json.loads(server.asked[0][2]) == {
        "macs": ["52:54:00:00:00:01", "52:54:00:00:00:02"],
        "nonce": NONCE,
        "host_key": "ssh-ed25519 AAAAC3",
    }
    assert len(said) == 2, "the same trouble is said once"


def test_machine_that_is_about_to_leave_asks_nothing(
    server: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    asked_at: list[float] = []
    monkeypatch.setattr(checkin.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkin.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))

    def answer(*_: Any) -> tuple[int, Any]:
        asked_at.append(now[0])
        return 200, {"session": "s2"}

    server.answer = answer
    assert next_session(Site(server.url, server.ca), tmp_path / "stay", print, NONCE, root) == "s2"
    assert asked_at == [60.0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"server": "https://x"}'])
def test_site_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.json").write_text(text)
    with pytest.raises(UsageError):
        Site.load(tmp_path / "site.json")
