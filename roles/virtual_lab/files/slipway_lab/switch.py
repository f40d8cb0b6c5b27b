# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's power switch: QEMU knows no wake-on-LAN, so somebody must listen.

One process inside the namespace turns PCs on, when their magic packet passes
the bridge or when a test asks through the control socket. That a PC goes off
is the PC's own affair, or that of a request to pull its plug.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import selectors
import signal
import socket
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway_lab import magic, qemu
from slipway_lab.config import Config
from slipway_lab.errors import LabError
from slipway_lab.router import Router
from slipway_lab.tools import alive, give, in_namespace, module, say, spawn

ETH_P_ALL = 0x0003
SO_ATTACH_FILTER = 26
# The bridge shows a broadcast of its own host twice: on its way out and looped back.
PACKET_LOOPBACK = 5
REQUEST_LIMIT = 4096
# The modules that a running switch consists of.
CODE = (
    "config.py",
    "hardware.py",
    "magic.py",
    "nvram.py",
    "qemu.py",
    "router.py",
    "switch.py",
    "tools.py",
)

# Classic BPF: let everything pass but TCP over IPv4, so that a restore at full speed costs
# the switch nothing. Instructions are (code, jump if true, jump if false, operand).
BULK_FILTER = (
    (0x28, 0, 0, 12),  # load the EtherType
    (0x15, 0, 2, magic.ETHER_IPV4),
    (0x30, 0, 0, 23),  # load the protocol of IPv4
    (0x15, 1, 0, socket.IPPROTO_TCP),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)


def version(config: Config) -> str:
    """Name the code and the description that a running switch was started with."""
    digest = hashlib.sha256(config.source.encode())
    for name in CODE:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:20]


class Switch:
    """Decides; `serve` only moves frames and requests to it."""

    def __init__(self, config: Config, accel: str) -> None:
        """Remember who has which MAC address."""
        self._config = config
        self._accel = accel
        self._version = version(config)
        self._by_mac = {mac: m for m in config.machines for mac in m.macs}

    def on_frame(self, frame: bytes) -> None:
        """Look at one frame of the bridge."""
        found = magic.find(frame)
        if found is None:
            return
        machine = self._by_mac.get(found.mac)
        entry = {"from": found.source, "via": found.via, "mac": found.mac}
        if machine is None:
            self._log(**entry, pc=None, action="no PC has this address")
            return
        try:
            action = "turned on" if self._turn_on(machine.name) else "is on already"
        except LabError as error:
            action = f"failed: {error}"
        self._log(**entry, pc=machine.name, action=action)

    def on_request(self, request: Any) -> dict[str, Any]:
        """Answer one request of the control socket."""
        if not isinstance(request, dict):
            raise LabError("A request is a JSON object.")
        verb = request.get("do")
        if verb == "ping":
            return {"version": self._version, "accel": self._accel}
        name = self._config.machine(str(request.get("pc"))).name
        if verb == "on":
            changed = self._turn_on(name)
        elif verb == "off":
            changed = self._cut(name)
        elif verb == "shutdown":
            changed = qemu.pid(self._config, name) is not None
            if changed:
                with qemu.monitor(self._config, name) as monitor:
                    monitor.execute("system_powerdown")
        elif verb == "screenshot":
            return self._screenshot(name, Path(str(request["file"])))
        elif verb == "keys":
            qemu.press(self._config, name, [str(key) for key in request["keys"]])
            changed = True
        else:
            raise LabError(f"The power switch knows no {verb!r}.")
        self._log(source="control", pc=name, action=str(verb), changed=changed)
        return {"changed": changed}

    def _turn_on(self, name: str) -> bool:
        if qemu.pid(self._config, name) is not None:
            return False
        qemu.start(self._config, self._config.machine(name), self._accel)
        return True

    def _cut(self, name: str) -> bool:
        pid = qemu.pid(self._config, name)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        while qemu.pid(self._config, name) is not None:
            time.sleep(0.01)
        return True

    def _screenshot(self, name: str, file: Path) -> dict[str, Any]:
        if not file.is_absolute():
            raise LabError("A screenshot needs an absolute path.")
        with qemu.monitor(self._config, name) as monitor:
            monitor.execute("screendump", filename=str(file), format="png")
        give(file, self._config)
        return {"file": str(file)}

    def _log(self, **entry: Any) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": stamp, **entry})
        say(line)
        with self._config.paths.power_log.open("a") as log:
            log.write(line + "\n")


def serve(config: Config) -> None:
    """Run the power switch until somebody ends it; needs root and the namespace."""
    config.paths.pidfile("switch").write_text(f"{os.getpid()}\n")
    config.paths.power_log.touch()
    give(config.paths.power_log, config)
    switch = Switch(config, qemu.choose_accelerator(config))
    wire = _listen_to_bridge(config.bridge)
    door = _open_door(config)
    router = Router(config.bridge)
    selector = selectors.DefaultSelector()
    selector.register(wire, selectors.EVENT_READ)
    selector.register(door, selectors.EVENT_READ)
    selector.register(router.socket, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is wire:
                frame, address = wire.recvfrom(65535)
                if address[2] != PACKET_LOOPBACK:
                    switch.on_frame(frame)
            elif key.fileobj is router.socket:
                router.answer()
            else:
                _answer(switch, door.accept()[0])


def request(config: Config, verb: str, pc: str = "", **more: Any) -> dict[str, Any]:
    """Ask the running power switch for something."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        try:
            connection.connect(str(config.paths.control))
        except OSError as error:
            raise LabError(
                f"The lab's power switch does not answer ({error.strerror}).",
                "Bring the lab up: `make lab`.",
            ) from None
        connection.sendall(json.dumps({"do": verb, "pc": pc, **more}).encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile() as stream:
            answer: dict[str, Any] = json.loads(stream.read() or "{}")
    if "error" in answer:
        raise LabError(answer["error"])
    return answer


def ensure_running(config: Config, timeout: float = 15) -> bool:
    """Start the power switch unless it runs already with today's description."""
    try:
        if request(config, "ping").get("version") == version(config):
            return False
    except (LabError, OSError, ValueError):
        # Not running, or killed in the middle of an answer: either way start a new one.
        config.paths.control.unlink(missing_ok=True)
    stop(config)
    log = config.paths.logs / "switch.log"
    spawn(config, in_namespace(config, *module(config, "switch")), log)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        # The one before may still hold the socket for a moment, and die in the middle of an answer.
        with suppress(LabError, OSError, ValueError):
            if request(config, "ping").get("version") == version(config):
                return True
        time.sleep(0.1)
    raise LabError("The power switch did not start.", f"See {log}.")


def stop(config: Config) -> None:
    """End a running power switch; PCs that are on stay on."""
    pid = alive(config.paths.pidfile("switch"), "slipway_lab", "switch")
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def _listen_to_bridge(bridge: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in BULK_FILTER)
    buffer = bytearray(code)

    pinned = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    program = struct.pack("HL", len(BULK_FILTER), ctypes.addressof(pinned))
    wire.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    wire.bind((bridge, ETH_P_ALL))
    return wire


def _open_door(config: Config) -> socket.socket:
    path = config.paths.control
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    path.chmod(0o600)
    give(path, config)
    door.listen(16)
    return door


def _answer(switch: Switch, connection: socket.socket) -> None:
    """Serve one request; a clumsy client must not end the switch."""
    with connection:
        connection.settimeout(5)
        try:
            with connection.makefile("r") as stream:
                line = stream.readline(REQUEST_LIMIT)
            reply = switch.on_request(json.loads(line))
        except LabError as error:
            reply = {"error": str(error)}
        except (OSError, ValueError, KeyError) as error:
            reply = {"error": f"bad request: {error!r}"}
        try:
            connection.sendall(json.dumps(reply).encode() + b"\n")
        except OSError as error:
            say(f"the client left before its answer: {error}")
