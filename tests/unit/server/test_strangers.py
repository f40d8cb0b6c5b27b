# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks for a machine's session, choice or order from another address than the machine's.

Real hosts in network namespaces, real nginx, real dnsmasq: the picture stands in segments.py.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .choosing import item, write_menu
from .conftest import HOST_KEY, ROOT, ticket_in
from .segments import SERVER, Host, Segments

pytestmark = [
    pytest.mark.plays,
    pytest.mark.xdist_group("segments"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
PC, SECOND, OTHER = "52:54:00:99:00:21", "52:54:00:99:00:22", "52:54:00:99:00:66"
FAR, FAR_OTHER, FIXED = "52:54:00:99:01:21", "52:54:00:99:01:66", "52:54:00:99:01:30"
MENU = "#!ipxe the menu"


class Net:
    """The segments with their hosts."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.all = made = Segments(folder, **config)
        self.service = made.service
        self.pc = made.host("pc", "server", PC, "10.99.0.21")
        self.stranger = made.host("stranger", "server", OTHER, "10.99.0.66")
        self.far = made.host("far", "router", FAR)
        self.far_stranger = made.host("farx", "router", FAR_OTHER)
        self.fixed = made.host("fixed", "router", FIXED, "10.99.1.30")
        self._nonces: dict[str, str] = {}
        self.ca = ("--cacert", str(folder / "ca.crt"))

    def post(self, host: Host, path: str, body: dict[str, Any]) -> tuple[int, str]:
        return host.ask(f"https://{SERVER}{path}", body, *self.ca)

    def nonce(self, host: Host) -> str:
        """Of the host's environment."""
        return self._nonces.setdefault(host.mac, secrets.token_hex(16))

    def end(self) -> None:
        """End every session."""
        for each in self.service.admin.get("/v1/sessions").json()["sessions"]:
            self.service.admin.delete(f"/v1/sessions/{each['id']}")

    def open(self, *macs: str, stays: bool = False) -> str:
        """A session of the machine with these cards; every host boots anew, unless it stays."""
        self.end()
        if not stays:
            self._nonces.clear()
        answer = self.service.ask(machine="pc1", macs=list(macs), verb="backup", image="pc1")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def check_in(self, host: Host, session: str, *macs: str, **more: Any) -> tuple[int, str]:
        body = {"session": session, "macs": list(macs), "host_key": HOST_KEY}
        return self.post(
            host, "/v1/checkin", body | {"agent_version": "0.1.0", "nonce": self.nonce(host)} | more
        )

    def choose(self, host: Host, mac: str, wanted: str, **more: Any) -> tuple[int, str]:
        body = {"macs": [mac], "item": wanted, "nonce": self.nonce(host), "host_key": HOST_KEY}
        return self.post(host, "/v1/choices", body | {"agent_version": "0.1.0"} | more)

    def seen(self, session: str) -> dict[str, Any]:
        return self.service.session(session)

    def told(self, session: str) -> dict[str, str]:
        return {each["address"]: each["why"] for each in self.seen(session)["strangers"]}


@pytest.fixture(scope="module")
def make_net(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Net]]:
    made: list[Net] = []

    def make(**config: Any) -> Net:
        made.append(Net(tmp_path_factory.mktemp("net"), **config))
        return made[-1]

    yield make
    for each in made:
        each.all.close()


@pytest.fixture(scope="module")
def net(make_net: Callable[..., Net]) -> Net:
    return make_net()


def test_a_machine_that_boots_anew_has_left_its_session(net: Net) -> None:
    """It alone can say so: whoever asks in its name ends nothing."""
    session = net.open(PC)
    ticket = ticket_in(net.pc.boot(PC))
    assert net.check_in(net.pc, session, PC, ticket=ticket)[0] == 200
    for other in (net.stranger, net.far_stranger, net.fixed):
        other.boot(PC)
        assert net.seen(session)["state"] == "checked_in"
    net.pc.boot(OTHER)
    assert net.seen(session)["state"] == "checked_in"
    assert MENU in net.pc.boot(PC)
    seen = net.seen(session)
    assert (seen["state"], seen["outcome"]) == ("ended", "abandoned")


@pytest.mark.parametrize("asker", ["stranger", "far_stranger", "fixed"])
@pytest.mark.parametrize(("machine", "mac"), [("pc", PC), ("far", FAR)])
def test_a_session_is_its_machines_alone(net: Net, asker: str, machine: str, mac: str) -> None:
    stranger, pc = getattr(net, asker), getattr(net, machine)
    nothing = stranger.ask(f"http://{SERVER}/boot/{mac.replace(':', '-')}.ipxe", None, "--include")
    session = net.open(mac)
    for _ in range(3):
        asked = stranger.ask(
            f"http://{SERVER}/boot/{mac.replace(':', '-')}.ipxe", None, "--include"
        )
        assert without_date(asked) == without_date(nothing), "exactly what there is without one"
        pending = {"macs": [mac], "nonce": net.nonce(stranger), "host_key": HOST_KEY}
        assert net.post(stranger, "/v1/pending", pending) == (200, '{"session":null}')
    seen = net.seen(session)
    assert (seen["state"], seen["boot_script_served"]) == ("requested", 0)
    # Even one that knows the session's name, from TFTP.
    status, text = net.check_in(stranger, session, mac)
    assert (status, "wrong_address" in text) == (403, True)
    assert "pc1" not in text
    script = pc.boot(mac)
    assert f"slipway.session={session}" in script
    ticket = ticket_in(script)
    assert stranger.boot(mac) == MENU
    # On its way: the stranger has the ticket, too, by some wonder.
    assert net.check_in(stranger, session, mac, ticket=ticket)[0] == 403
    assert net.check_in(pc, session, mac)[0] == 403, "a ticket was given out"
    status, text = net.check_in(pc, session, mac, ticket=ticket)
    assert status == 200, text
    seen = net.seen(session)
    assert (seen["state"], seen["address"]) == ("checked_in", pc.address)
    assert seen["boot_script_served"] == 1
    assert stranger.boot(mac) == MENU
    assert stranger.address in net.told(session)
    assert f"{stranger.address} asked for the session of pc1" in net.service.journal()


def without_date(answer: tuple[int, str]) -> tuple[int, list[str]]:
    return answer[0], [line for line in answer[1].splitlines() if not line.startswith("Date:")]


def test_the_administrator_is_told_who_it_was(net: Net) -> None:
    session = net.open(PC)
    for host in (net.stranger, net.far_stranger, net.fixed):
        for _ in range(2):
            host.boot(PC)
    assert net.told(session) == {
        net.stranger.address: f"its card is {OTHER}",
        net.far_stranger.address: f"behind a router; its lease is of {FAR_OTHER}",
        net.fixed.address: "behind a router, with neither a lease nor a machine_ip",
    }
    counts = [each["requests"] for each in net.seen(session)["strangers"]]
    assert counts == [2, 2, 2]
    everybody = net.service.admin.get("/v1/strangers").json()["strangers"]
    assert [each["address"] for each in everybody if each["id"] == session] == [*net.told(session)]


def test_another_pc_with_its_card_is_refused_and_why_is_told(net: Net) -> None:
    own = {"uuid": "b9a6e3a0-93f4-4c43-9a55-0c1b7a0de001", "serial": "SLW-1"}
    known = "/v1/identities/pc1"
    try:
        assert net.check_in(net.pc, net.open(PC), PC, hardware=own)[0] == 200
        first = net.service.admin.get("/v1/sessions").json()["sessions"][-1]
        session = net.open(PC)
        for other in ({}, own | {"serial": "SLW-2"}):
            status, text = net.check_in(net.pc, session, PC, hardware=other)
            assert (status, "another_machine" in text) == (403, True)
        assert "identity_forget.yml" in net.told(session)[net.pc.address]
        assert net.check_in(net.pc, session, PC, hardware=own)[0] == 200
        assert (first["identity"], net.seen(session)["identity"]) == ("new", "known")
    finally:
        net.service.admin.delete(known)
    # It is new as often as it has to say who it is: a choice of its own makes it no known one.
    net.end()
    write_menu(net.service, "pc1", [PC], [item("shell", "rescue_shell")])
    write_menu(net.service, "pc2", ["52:54:00:99:00:99"], [])
    assert net.choose(net.pc, PC, "shell", hardware=own)[0] == 201
    session = net.open(PC)
    try:
        assert net.check_in(net.pc, session, PC, hardware=own)[0] == 200
        assert net.seen(session)["identity"] == "new"
    finally:
        net.service.admin.delete(known)


def test_ipv6_neighbours_are_known_too(net: Net) -> None:
    server = Host(net.service._space, "")
    server.run("ip", "addr", "add", "fd99::1/64", "dev", "br0", "nodad")
    net.pc.run("ip", "addr", "add", "fd99::21/64", "dev", "eth0", "nodad")
    look = (
        "import socket, ipaddress; from slipway_server.network.neighbours import place_of\n"
        "socket.socket(socket.AF_INET6).connect_ex(('fd99::21', 9))\n"
        "for each in ('fd99::21', 'fd99::1', '127.0.0.1', '10.99.0.1', '10.99.1.30'):\n"
        "    print(place_of(ipaddress.ip_address(each)))"
    )
    paths = f"{ROOT}/client_image/agent:{ROOT}/roles/image_server/files"
    said = server.run("env", f"PYTHONPATH={paths}", sys.executable, "-c", look).splitlines()
    assert said == [
        f"Place(near=True, card='{PC}')",
        "None",
        "None",
        "None",
        "Place(near=False, card=None)",
    ]


def test_the_server_itself_is_no_machine(net: Net) -> None:
    session = net.open(PC)
    server = Host(net.service._space, "02:00:00:99:00:01")
    assert server.boot(PC) == MENU
    assert net.check_in(server, session, PC)[0] == 403


def test_without_a_script_that_was_fetched_the_address_alone_is_looked_at(net: Net) -> None:
    """Secure Boot: GRUB had the session's name by TFTP, which tells everybody."""
    session = net.open(PC)
    assert net.check_in(net.stranger, session, PC)[0] == 403
    assert net.check_in(net.pc, session, PC)[0] == 200


def test_a_ticket_is_that_of_the_last_script(net: Net) -> None:
    session = net.open(PC)
    first, second = ticket_in(net.pc.boot(PC)), ticket_in(net.pc.boot(PC))
    status, text = net.check_in(net.pc, session, PC, ticket=first)
    assert (status, "no_ticket" in text) == (403, True)
    assert net.check_in(net.pc, session, PC, ticket=second)[0] == 200
    # The answer got lost: the nonce tells the retry.
    assert net.check_in(net.pc, session, PC, ticket=second)[0] == 200
    assert net.check_in(net.pc, session, PC, ticket=second, nonce="m" * 32)[0] == 409


def test_it_may_speak_through_its_other_card(net: Net) -> None:
    net.all.plug(net.pc.space, net.service._space, SECOND, "", "eth1")
    net.pc.run("ip", "addr", "del", "10.99.0.21/24", "dev", "eth0")
    net.pc.run("ip", "addr", "add", "10.99.0.22/24", "dev", "eth1")
    try:
        session = net.open(PC)
        assert net.pc.boot(PC) == MENU, "before it has shown anything, it is a stranger"
        net.pc.run("ip", "addr", "del", "10.99.0.22/24", "dev", "eth1")
        net.pc.run("ip", "addr", "add", "10.99.0.21/24", "dev", "eth0")
        ticket = ticket_in(net.pc.boot(PC))
        net.pc.run("ip", "addr", "del", "10.99.0.21/24", "dev", "eth0")
        net.pc.run("ip", "addr", "add", "10.99.0.22/24", "dev", "eth1")
        assert net.check_in(net.pc, session, PC, SECOND)[0] == 403
        assert net.check_in(net.pc, session, PC, ticket=ticket)[0] == 403
        assert net.check_in(net.pc, session, PC, SECOND, ticket=ticket)[0] == 200
    finally:
        net.pc.run("ip", "link", "del", "eth1")
        net.pc.run("ip", "addr", "flush", "dev", "eth0")
        net.pc.run("ip", "addr", "add", "10.99.0.21/24", "dev", "eth0")


def test_one_that_stayed_takes_its_next_session(net: Net) -> None:
    session = net.open(PC)
    assert net.check_in(net.pc, session, PC)[0] == 200
    following = net.open(PC, stays=True)
    asks = {"macs": [PC], "nonce": net.nonce(net.pc), "host_key": HOST_KEY}
    assert net.post(net.pc, "/v1/pending", asks)[1] == f'{{"session":"{following}"}}'
    assert net.post(net.pc, "/v1/pending", asks | {"nonce": "m" * 32})[1] == '{"session":null}'
    # Who once was taken for it keeps the secrets, and is at another address now.
    for thief in (net.stranger, net.far_stranger):
        assert net.post(thief, "/v1/pending", asks)[1] == '{"session":null}'
        assert net.check_in(thief, following, PC, nonce=net.nonce(net.pc))[0] == 403
    # Somebody else fetched the script meanwhile: the environment is known by its secrets.
    net.pc.boot(PC)
    assert net.check_in(net.pc, following, PC)[0] == 200


def test_a_choice_is_its_machines_alone(net: Net) -> None:
    net.end()
    name = "Not for everybody"
    items = [item("shell", "rescue_shell"), item("r", "restore", images=["secret-a", "secret-b"])]
    write_menu(net.service, "pc1", [PC], items)
    write_menu(net.service, "pc2", [FAR], items)
    for mac, pc in ((PC, net.pc), (FAR, net.far)):
        for stranger in (net.stranger, net.far_stranger, net.fixed):
            for wanted in ("shell", "r", "nosuch"):
                status, text = net.choose(stranger, mac, wanted)
                assert (status, "wrong_address" in text) == (403, True)
                assert not any(word in text for word in ("secret", "pc1", "pc2", name))
        assert net.choose(pc, mac, "shell")[0] == 201
    told = net.service.admin.get("/v1/strangers").json()["strangers"]
    who = {each["address"] for each in told if (each["kind"], each["machine"]) == ("choice", "pc1")}
    assert who == {net.stranger.address, net.far_stranger.address, net.fixed.address}


@pytest.mark.parametrize(("machine", "mac"), [("pc", PC), ("far", FAR)])
def test_an_order_is_its_machines_alone(net: Net, machine: str, mac: str) -> None:
    net.end()
    pc = getattr(net, machine)
    write_menu(net.service, "pc1", [mac], [item("shell", "rescue_shell")])
    write_menu(net.service, "pc2", ["52:54:00:99:00:99"], [])
    body = {"machine": "pc1", "macs": [mac], "item": "shell"}
    made = net.service.admin.post("/v1/next-boots", json=body).json()["id"]
    for stranger in (net.stranger, net.far_stranger, net.fixed):
        assert stranger.boot(mac) == MENU
    [order] = [
        each
        for each in net.service.admin.get("/v1/next-boots").json()["next_boots"]
        if each["id"] == made
    ]
    assert order["state"] == "armed", "nobody but the machine uses it up"
    assert len(order["strangers"]) == 3
    assert f"slipway.once={made}" in pc.boot(mac)
    for stranger in (net.stranger, net.far_stranger, net.fixed):
        assert net.choose(stranger, mac, "shell", once=made)[0] == 403
    assert net.choose(pc, mac, "shell", once=made)[0] == 201


def test_what_nobody_knows_is_for_the_inventory_to_say(net: Net) -> None:
    session = net.open(FIXED)
    assert net.fixed.boot(FIXED) == MENU
    write_menu(net.service, "pc9", [FIXED], [])
    assert net.fixed.boot(FIXED) == MENU
    menu = net.service.folder / "menus/pc9.json"
    menu.write_text(
        menu.read_text().replace('"items"', f'"address": "{net.fixed.address}", "items"')
    )
    assert f"slipway.session={session}" in net.fixed.boot(FIXED)
    assert net.far_stranger.boot(FIXED) == MENU


def test_nobody_registers_cards_that_he_has_not(net: Net) -> None:
    def register(host: Host, *macs: str) -> int:
        body = {"macs": macs, "hardware": {}, "agent_version": "0.1.0", "nonce": net.nonce(host)}
        return net.post(host, "/v1/registrations", body)[0]

    new = "52:54:00:99:00:77"
    assert [register(host, new) for host in (net.stranger, net.far_stranger)] == [403, 403]
    assert net.service.admin.get("/v1/registrations").json() == {"registrations": []}
    assert register(net.stranger, new, OTHER) == 201, "it has one of them"
    assert register(net.far_stranger, FAR_OTHER) == 201
    assert register(net.fixed, FIXED) == 201, "of which nobody knows"


def test_where_everybody_is_trusted_only_a_known_other_is_refused(
    make_net: Callable[..., Net],
) -> None:
    open_net = make_net(unproven_addresses="accept")
    session = open_net.open(FIXED)
    assert open_net.stranger.boot(FIXED) == MENU, "its card is seen"
    assert open_net.far_stranger.boot(FIXED) == MENU, "its lease is another's"
    ticket = ticket_in(open_net.fixed.boot(FIXED))
    said = {"uuid": "b9a6e3a0-93f4-4c43-9a55-0c1b7a0de001"}
    assert open_net.check_in(open_net.stranger, session, FIXED, ticket=ticket)[0] == 403
    assert open_net.check_in(open_net.fixed, session, FIXED, ticket=ticket, hardware=said)[0] == 200
    known = open_net.service.admin.get("/v1/identities").json()["identities"]
    assert known == [], "what was believed is not remembered as what the machine is"
