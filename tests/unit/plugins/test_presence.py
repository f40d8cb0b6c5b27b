# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine is on: real pings and handshakes in namespaces, and what a playbook says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._presence import (
    Answer,
    Neighbour,
    is_of,
    parse_neighbours,
    places,
)

from ..roles.namespace import Namespace, server_and_pcs
from .pc import SSHD, Pc, Site, make_key, running_pc

MAC = "52:54:00:77:00:01"
ROOT = Path(__file__).resolve().parents[3]


def test_an_answer_counts_if_it_is_the_machines_card() -> None:
    seen = parse_neighbours(
        f'[{{"dst": "10.0.0.1", "lladdr": "{MAC.upper()}", "state": ["REACHABLE"]}},'
        '{"dst": "10.0.0.2", "lladdr": "52:54:00:00:00:66"}, {"dst": "10.0.0.3"}]'
    )
    assert seen == [Neighbour("10.0.0.1", MAC), Neighbour("10.0.0.2", "52:54:00:00:00:66")]
    assert is_of(Answer("10.0.0.1", "ping"), seen, [MAC])
    assert not is_of(Answer("10.0.0.2", "ping"), seen, [MAC]), "another has its address now"
    assert is_of(Answer("10.9.0.1", "ping"), seen, [MAC]), "behind a router no card is seen"
    assert parse_neighbours("") == []


def test_it_is_looked_for_where_it_may_be() -> None:
    seen = [Neighbour("10.0.0.9", MAC), Neighbour("10.0.0.8", "52:54:00:00:00:66")]
    assert places(["10.0.0.1", "", "10.0.0.9"], seen, [MAC]) == ["10.0.0.1", "10.0.0.9"]


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDm8sF8mDqQOxWNIjRjz1XwTbCcZxnDuYTIFh2kOhqk4"


@pytest.mark.parametrize("shown", [KEY, KEY.replace("Dm8s", "Dm8t"), ""])
def test_the_environment_is_known_by_its_host_key(
    service: Any, run_module: Callable[..., Any], mock_command: Callable[..., Any], shown: str
) -> None:
    scan = mock_command("ssh-keyscan", f"# 127.0.0.1:22 SSH-2.0\n127.0.0.1 {shown}\n")
    service.answer("GET", "/v1/whereabouts/pc1", {"addresses": ["127.0.0.1"], "host_key": KEY})
    how = {"admin_socket": service.path, "machine": "pc1", "macs": [MAC]}
    found = run_module("machine_presence", **how)
    assert (found["is_on"], found["address"]) == (True, "127.0.0.1")
    assert found["environment"] is (shown == KEY)
    assert scan.calls == [["-T", "3", "-t", "ed25519", "127.0.0.1"]]
    assert service.asked == [("GET", f"/v1/whereabouts/pc1?mac={MAC.replace(':', '%3A')}", None)]


@pytest.mark.parametrize("shown", [KEY, ""])
def test_one_that_must_be_off_and_is_in_its_own_system(
    service: Any, run_module: Callable[..., Any], mock_command: Callable[..., Any], shown: str
) -> None:
    mock_command("ssh-keyscan", f"127.0.0.1 {shown}\n")
    service.answer("GET", "/v1/whereabouts/pc1", {"addresses": ["127.0.0.1"], "host_key": KEY})
    how = {"admin_socket": service.path, "machine": "pc1", "macs": [MAC], "must_be_off": True}
    found = run_module("machine_presence", **how)
    assert found.get("error") == (None if shown else "was_on")
    assert shown or "is on, in a system of its own" in found["msg"]


def test_a_machine_that_nobody_knows_where_to_find(
    service: Any, run_module: Callable[..., Any]
) -> None:
    service.answer("GET", "/v1/whereabouts/pc1", {"addresses": [], "host_key": None})
    how = {"admin_socket": service.path, "machine": "pc1", "macs": ["52:54:00:00:00:67"]}
    assert not run_module("machine_presence", **how)["is_on"]


# --- on a network of its own -----------------------------------------------------------------
KNOCK = f"""
import sys, time
sys.path.insert(0, {str(ROOT / ".collections")!r})
from ansible_collections.slipway.imaging.plugins.module_utils._presence import knock
began = time.monotonic()
found = knock(sys.argv[1:], 2)
print(sorted((each.address, each.how) for each in found), time.monotonic() - began < 4)
"""
# No ping, and a packet filter that drops all but what is named.
SILENT = "net.ipv4.icmp_echo_ignore_all=1"


@pytest.fixture
def network() -> Iterator[tuple[Namespace, Namespace]]:
    with server_and_pcs() as made:
        yield made


@pytest.mark.plays
def test_who_answers(network: tuple[Namespace, Namespace]) -> None:
    server, pcs = network

    def knock(*addresses: str) -> tuple[list[tuple[str, str]], bool]:
        found, in_time = eval(f"[{server.python(KNOCK, *addresses).strip().replace('] ', '], ')}]")
        return found, in_time

    assert knock("10.77.0.7", "10.78.0.9")[0] == [("10.77.0.7", "ping"), ("10.78.0.9", "ping")]
    assert knock("10.77.0.200") == ([], True), "nobody is there"
    assert knock() == ([], True)
    # A PC that answers no ping refuses a connection, and that is an answer.
    pcs.run("sysctl", "-qw", SILENT)
    [(address, how)] = knock("10.77.0.7", "10.77.0.200")[0]
    assert address == "10.77.0.7" and how.startswith("TCP ")
    # Its packet filter drops everything but RDP.
    rules = "tcp dport { 22, 135, 445 } drop"
    pcs.run(
        "nft",
        f"add table ip t; add chain ip t c {{ type filter hook input priority 0; }};"
        f" add rule ip t c {rules}",
    )
    assert knock("10.77.0.7")[0] == [("10.77.0.7", "TCP 3389")]
    # A card that answers ARP for a PC that is off.
    pcs.run("nft", "add rule ip t c drop")
    assert knock("10.77.0.7") == ([], True)
    assert "10.77.0.7" in server.run("ip", "neigh"), "ARP was answered"


# --- what a playbook makes of it -------------------------------------------------------------
pytest_real = pytest.mark.skipif(
    os.geteuid() != 0 or SSHD is None, reason="sshd lets in its own user alone"
)
SYSTEM = {"ansible_connection": "ssh", "ansible_user": "root"}


@pytest.fixture
def site(tmp_path: Path, service: Any) -> Site:
    return Site(tmp_path / "site", make_key(tmp_path / "login"), service)


@pytest.fixture
def pc(tmp_path: Path, site: Site) -> Iterator[Pc]:
    with running_pc(tmp_path / "pc", site.login) as made:
        yield made


@pytest.fixture
def play(site: Site, pc: Pc) -> Callable[..., str]:
    """Run backup.yml for a PC that is on, at this host's loopback; return what it said."""

    def run(*options: str, **variables: Any) -> str:
        known = pc.folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{pc.port} {pc.host_key}\n")
        common = f"-o UserKnownHostsFile={known}"
        site.describe(
            imaging_session_wake=True,
            imaging_session_wake_interface="lo",
            imaging_session_wake_timeout=20,
            imaging_session_wake_interval=1,
            machine_system_connection={**SYSTEM, "ansible_ssh_common_args": common},
            **variables,
        )
        where = {"addresses": ["127.0.0.1"], "host_key": variables.get("host_key")}
        site.service.answer("GET", "/v1/whereabouts/pc1", where)
        site.serve(pc, state="requested", boot_script_served=0)
        done = site.play(pc, "backup", *options)
        assert done.returncode != 0
        return done.stdout + done.stderr

    return run


@pytest.mark.plays
@pytest_real
def test_a_machine_that_is_on_is_said_at_once(site: Site, pc: Pc, play: Callable[..., str]) -> None:
    said = play()
    assert "pc1 is on, in a system of its own: it answers at 127.0.0.1 (" in said
    assert "-e restart=true" in said and "machine_system_connection" in said
    assert "magic packet sent" not in said
    assert pc.commands == [], "nobody spoke with its system"
    assert site.outcome == "failed", "no session waits for its next boot"


@pytest.mark.plays
@pytest_real
def test_it_is_restarted_if_nobody_uses_it(site: Site, pc: Pc, play: Callable[..., str]) -> None:
    said = play("-e", "restart=true")
    asked, restarted = [text for _kind, text in pc.commands]
    assert "who |" in asked and "systemctl reboot" in restarted
    assert "did not boot from the network within" in said, "it is woken and waited for as ever"
    assert site.outcome == "failed"


@pytest.mark.plays
@pytest_real
def test_it_is_not_restarted_under_its_user(site: Site, pc: Pc, play: Callable[..., str]) -> None:
    pc.answer(hello={"out": "alice tty1\nbob{{ 7*7 }}\x1b[2J pts/4\n"})
    said = play("-e", "restart=true")
    assert "Somebody is logged in on pc1 (alice tty1, bob{{ 7*7 }}?[2J pts/4)" in said
    assert [kind for kind, _text in pc.commands] == ["hello"]
    assert site.outcome == "failed"


@pytest.mark.plays
@pytest_real
@pytest.mark.slow
def test_it_is_restarted_under_its_user_if_told_so(pc: Pc, play: Callable[..., str]) -> None:
    pc.answer(hello={"out": "alice tty1\n"})
    play("-e", "restart=true", "-e", "restart_in_use=true")
    assert [kind for kind, _text in pc.commands] == ["hello", "farewell"]
