# SPDX-License-Identifier: GPL-3.0-or-later
"""Network segments of real hosts: namespaces with a bridge, a router, nginx, dnsmasq, the service.

::

    server 10.99.0.1 (nginx, dnsmasq) -- bridge -- pc 10.99.0.21, stranger 10.99.0.66
                                          |
                                   router 10.99.0.254 / 10.99.1.254 (DHCP relay agent)
                                          |
                                        bridge -- far-pc, far-stranger: leases of dnsmasq
                                                  far-fixed 10.99.1.30: without a lease
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from slipway_server.server import SOCKETS

from .conftest import PATIENCE, ROOT, Service
from .nginx_site import configuration, make_certificates, render, unpack_nginx

_numbers = itertools.count(1)
SERVER, NEAR_ROUTER, FAR_ROUTER = "10.99.0.1", "10.99.0.254", "10.99.1.254"
# Asks for a lease as the imaging environment does, and takes the address.
_DHCP = r"""
import os, random, socket, struct, subprocess, sys
device, mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", ""))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
sock.bind(("", 68))
sock.settimeout(60)
xid = os.urandom(4)
def ask(kind, more=b""):
    head = struct.pack("!4B4sHH16s16s192s", 1, 1, 6, 0, xid, 0, 0x8000, bytes(16), mac, bytes(192))
    options = b"\x63\x82\x53\x63\x35\1" + bytes([kind]) + more + b"\xff"
    sock.sendto(head + options, ("255.255.255.255", 67))
    answer = sock.recv(2048)
    while answer[4:8] != xid:
        answer = sock.recv(2048)
    return socket.inet_ntoa(answer[16:20]), answer[240:]
def option(data, wanted):
    at = 0
    while data[at] != 255:
        if data[at] == wanted:
            return data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
offered, data = ask(1)
given, _ = ask(3, b"\x32\4" + socket.inet_aton(offered) + b"\x36\4" + option(data, 54))
print(given)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Host:
    """A network namespace with one card at least."""

    space: str
    mac: str
    address: str = ""

    def run(self, *words: str, check: bool = True) -> str:
        """Run a program there; its output."""
        made = subprocess.run(
            ["ip", "netns", "exec", self.space, *words], capture_output=True, text=True, check=False
        )
        assert not check or made.returncode == 0, made.stderr
        return made.stdout

    def ask(self, url: str, body: Any = None, *more: str) -> tuple[int, str]:
        """Ask nginx; status and body of the answer."""
        words = ["curl", "--silent", "--show-error", "--max-time", "20", *more]
        if body is not None:
            words += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
        text, _, status = self.run(*words, "--write-out", "\n%{http_code}", url).rpartition("\n")
        return int(status), text

    def boot(self, mac: str, *more: str) -> str:
        """What its boot loader would get for a card."""
        status, text = self.ask(f"http://{SERVER}/boot/{mac.replace(':', '-')}.ipxe", None, *more)
        assert status == 200, text
        return text


class SegmentService(Service):
    """The service as a program of its own, in the server's namespace."""

    def __init__(self, folder: Path, space: str, **config: Any) -> None:
        super().__init__(folder, **config)
        self._space = space
        self._program: subprocess.Popen[bytes] | None = None

    def start(self) -> SegmentService:
        """Start it and wait until it answers."""
        words = ["ip", "netns", "exec", self._space, sys.executable, "-m", "slipway_server"]
        words += ["--config", str(self.folder / "server.json")]
        for name in SOCKETS:
            words += [f"--{name}-socket", str(self.folder / name)]
        paths = [str(ROOT / "client_image/agent"), str(ROOT / "roles/image_server/files")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        with (self.folder / "journal").open("ab") as journal:
            self._program = subprocess.Popen(words, env=environment, stderr=journal)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert self.admin.get("/v1/status").status_code == 200
                (self.folder / "http").chmod(0o666)
                return self
            except httpx.TransportError:
                assert time.monotonic() < deadline, self.journal()
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it."""
        assert self._program is not None
        self._program.send_signal(number)
        return self._program.wait(20)

    def journal(self) -> str:
        """What it logged."""
        return (self.folder / "journal").read_text()

    def close(self) -> None:
        """End everything."""
        for client in (self.http, self.admin, self.runner):
            client.close()
        if self._program is not None and self._program.poll() is None:
            self.stop()


class Segments:
    """Everything of the picture above."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self._name = f"slw{os.getpid()}n{next(_numbers)}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._spaces: list[str] = []
        self.service = self._build(config)

    def _space(self, name: str) -> str:
        space = f"{self._name}-{name}"
        ip("netns", "add", space)
        self._spaces.append(space)
        ip("-n", space, "link", "set", "lo", "up")
        return space

    def _bridge(self, space: str, address: str) -> None:
        # Of its own: a bridge without one takes that of whatever is plugged in.
        ip("-n", space, "link", "add", "br0", "address", "02:00:00:99:00:01", "type", "bridge")
        ip("-n", space, "addr", "add", f"{address}/24", "brd", "+", "dev", "br0")
        ip("-n", space, "link", "set", "br0", "up")

    def plug(self, host: str, into: str, mac: str, address: str = "", device: str = "eth0") -> None:
        """Plug a card of a namespace into a bridge."""
        port = f"p{len(self._spaces)}{device}"
        peer = ("peer", "name", device, "address", mac, "netns", host)
        ip("-n", into, "link", "add", port, "type", "veth", *peer)
        ip("-n", into, "link", "set", port, "master", "br0", "up")
        if address:
            ip("-n", host, "addr", "add", f"{address}/24", "brd", "+", "dev", device)
        ip("-n", host, "link", "set", device, "up")

    def host(self, name: str, into: str, mac: str, address: str = "") -> Host:
        """A new host in a segment: `server` or `router`; without an address it gets a lease."""
        made = Host(self._space(name), mac, address)
        self.plug(made.space, f"{self._name}-{into}", mac, address)
        if not address:
            made.address = made.run(sys.executable, "-c", _DHCP, "eth0", mac).strip()
            ip("-n", made.space, "addr", "add", f"{made.address}/24", "brd", "+", "dev", "eth0")
        if into == "router":
            ip("-n", made.space, "route", "add", "default", "via", FAR_ROUTER)
        return made

    def _build(self, config: dict[str, Any]) -> SegmentService:
        folder = self.folder
        server, router = self._space("server"), self._space("router")
        self._bridge(server, SERVER)
        self._bridge(router, FAR_ROUTER)
        self.plug(router, server, "02:00:00:99:00:fe", NEAR_ROUTER, "up0")
        ip("netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        ip("-n", server, "route", "add", "10.99.1.0/24", "via", NEAR_ROUTER)
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        for name in ("service", "boot/menu"):
            (folder / name).mkdir(parents=True)
        leases = folder / "service/leases"
        common = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]
        self._start(
            server,
            "dnsmasq",
            *common,
            f"--pid-file={folder}/dhcp.pid",
            "--dhcp-authoritative",
            "--dhcp-ignore-clid",
            "--no-ping",
            f"--dhcp-leasefile={leases}",
            "--dhcp-range=10.99.0.100,10.99.0.120,255.255.255.0,1h",
            "--dhcp-range=10.99.1.100,10.99.1.120,255.255.255.0,1h",
        )
        self._start(
            router,
            "dnsmasq",
            *common,
            f"--pid-file={folder}/relay.pid",
            f"--dhcp-relay={FAR_ROUTER},{SERVER}",
        )
        service = SegmentService(
            folder / "service",
            server,
            address=SERVER,
            **{"unproven_addresses": "refuse", "lease_file": str(leases)} | config,
        )
        service.start()
        make_certificates(folder, f"IP:{SERVER}")
        (folder / "boot/menu/unknown.ipxe").write_text("#!ipxe the menu")
        site = render(
            "etc/nginx/conf.d/slipway.conf.j2",
            image_server_address=SERVER,
            _image_server_http_socket=str(folder / "service/http"),
            _image_server_boot_root=str(folder / "boot"),
            _image_server_tls=str(folder),
            _image_server_logs=str(folder),
            image_server_store_dir=str(service.store),
        )
        (folder / "nginx.conf").write_text(configuration(folder, site))
        self._start(server, unpack_nginx(), "-c", str(folder / "nginx.conf"), "-p", str(folder))
        self._wait_for_nginx(Host(server, ""))
        return service

    def _start(self, space: str, *words: str) -> None:
        with (self.folder / "programs.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(["ip", "netns", "exec", space, *words], stdout=log, stderr=log)
            )

    @staticmethod
    def _wait_for_nginx(server: Host) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if server.run("curl", "--silent", f"http://{SERVER}/", check=False):
                return
            time.sleep(0.1)
        raise AssertionError("nginx does not answer")

    def close(self) -> None:
        """Leave nothing behind."""
        self.service.close()
        for process in self._processes:
            process.terminate()
            process.wait(10)
        for space in self._spaces:
            ip("netns", "del", space)
