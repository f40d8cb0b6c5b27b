# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as tests and people see it: PCs with a plug, a console and a marker.

Nothing here needs root: what does is done by the power switch, whose socket
belongs to the owner of the checkout.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_lab import disk, qemu, server, switch
from slipway_lab.config import Config, Machine, load
from slipway_lab.errors import LabError

POLL = 0.1
PRESS_AGAIN = 10


@dataclass(frozen=True)
class PowerEvent:
    """One line of the power switch's log."""

    time: str
    pc: str | None
    action: str
    mac: str | None
    source: str
    via: str | None


@dataclass(frozen=True)
class Pc:
    """One virtual PC."""

    config: Config
    machine: Machine

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.machine.name

    @property
    def macs(self) -> tuple[str, ...]:
        """Its MAC addresses."""
        return self.machine.macs

    @property
    def is_on(self) -> bool:
        """Whether its QEMU runs."""
        return qemu.pid(self.config, self.name) is not None

    @property
    def disk_path(self) -> Path:
        """The raw file that is its disk."""
        return self.config.paths.disk(self.name)

    @property
    def console_path(self) -> Path:
        """The log of its serial port; it grows over all boots."""
        return self.config.paths.console(self.name)

    @property
    def record(self) -> dict[str, Any]:
        """What was written down when its disk was made: marker, UUIDs, serial."""
        try:
            found: dict[str, Any] = json.loads(self.config.paths.record(self.name).read_text())
        except FileNotFoundError:
            raise LabError(f"The disk of {self.name} is not made yet.", "`make lab`") from None
        return found

    @property
    def marker(self) -> str:
        """The random word that its own disk says when it boots."""
        return str(self.record["marker"])

    def power_on(self) -> bool:
        """Press the button; False when it is on already. Playbooks wake it instead."""
        return bool(switch.request(self.config, "on", self.name)["changed"])

    def cut_power(self) -> bool:
        """Pull the plug: QEMU is killed, nothing is flushed that the guest did not flush."""
        return bool(switch.request(self.config, "off", self.name)["changed"])

    def shutdown(self, timeout: float = 60) -> None:
        """Press the power button of a PC that is on, again and again until it is off.

        A system that has only just started does not heed it yet.
        """
        deadline = time.monotonic() + timeout
        while self.is_on and time.monotonic() < deadline:
            switch.request(self.config, "shutdown", self.name)
            self._goes_off(min(PRESS_AGAIN, timeout))
        if self.is_on:
            raise self._still_on(timeout)

    def wait_until_off(self, timeout: float = 60) -> None:
        """Wait until it has gone off by itself."""
        if not self._goes_off(timeout):
            raise self._still_on(timeout)

    def _goes_off(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.is_on:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def _still_on(self, timeout: float) -> LabError:
        return LabError(f"{self.name} is still on after {timeout:g} s.", self._tail())

    def console_offset(self) -> int:
        """Return how long its console log is now, for a later `since`."""
        return self.console_path.stat().st_size if self.console_path.exists() else 0

    def console(self, since: int = 0) -> str:
        """Return what it has said on its serial port since an offset."""
        if not self.console_path.exists():
            return ""
        with self.console_path.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def wait_for_serial(self, regex: str, since: int = 0, timeout: float = 120) -> re.Match[str]:
        """Wait until its serial port says something, and return the match."""
        pattern = re.compile(regex, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            found = pattern.search(self.console(since))
            if found:
                return found
            if time.monotonic() > deadline:
                state = "on" if self.is_on else "off"
                raise LabError(
                    f"{self.name} is {state} and did not say {regex!r} within {timeout:g} s.",
                    self._tail(),
                )
            time.sleep(POLL)

    def wait_for_own_disk(self, since: int = 0, timeout: float = 120) -> None:
        """Wait until it says that it runs from its own disk: its name, its marker, its root."""
        record = self.record
        words = f"host={self.name} marker={record['marker']} root={record['root_uuid']}"
        self.wait_for_serial(re.escape(f"SLIPWAY-LAB {words}"), since, timeout)

    def overwrite_disk(self) -> int:
        """Fill its whole disk with random bytes, tables included; return how many."""
        if self.is_on:
            raise LabError(f"{self.name} is on.", "Turn it off before its disk is overwritten.")
        return disk.overwrite(self.disk_path)

    def press(self, *keys: str) -> None:
        """Press keys of its keyboard one after the other, by QEMU's names: `down`, `ret`, `a`."""
        switch.request(self.config, "keys", self.name, keys=list(keys))

    def type(self, text: str) -> None:
        """Type lower-case letters, digits and blanks."""
        self.press(*("spc" if char == " " else char for char in text))

    def screenshot(self, file: Path) -> Path:
        """Save what its screen shows as a PNG."""
        answer = switch.request(self.config, "screenshot", self.name, file=str(file.absolute()))
        return Path(answer["file"])

    def _tail(self) -> str:
        last = "\n".join(self.console()[-2000:].splitlines()[-10:])
        return f"Its console ({self.console_path}) ends with:\n{last}"


@dataclass(frozen=True)
class Server:
    """The image server, as an administrator with SSH sees it."""

    config: Config

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.config.server.name

    @property
    def address(self) -> str:
        """Its address on the lab's bridge."""
        return self.config.server_address

    @property
    def root(self) -> Path:
        """Its root directory as this host sees it."""
        return self.config.paths.server_root

    def run(
        self, command: str, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on it as root, whatever it ends with."""
        return server.ssh(self.config, command, stdin, timeout)

    def succeed(self, command: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run a shell command on it that must succeed, and return its output."""
        done = self.run(command, stdin, timeout)
        if done.returncode:
            raise LabError(f"`{command}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


@dataclass(frozen=True)
class Lab:
    """The running lab."""

    config: Config

    @classmethod
    def load(cls, state: Path | None = None) -> Lab:
        """Open the lab of this checkout, or of another state folder."""
        return cls(load(state))

    @property
    def pcs(self) -> tuple[Pc, ...]:
        """All PCs, in the inventory's order."""
        return tuple(Pc(self.config, machine) for machine in self.config.machines)

    @property
    def server(self) -> Server:
        """The image server."""
        return Server(self.config)

    @property
    def is_up(self) -> bool:
        """Whether the image server and the power switch both run."""
        try:
            switch.request(self.config, "ping")
        except LabError:
            return False
        return server.pid(self.config) is not None

    def pc(self, name: str) -> Pc:
        """Return the PC of that name."""
        return Pc(self.config, self.config.machine(name))

    def power_log_offset(self) -> int:
        """Return how long the power log is now, for a later `since`."""
        log = self.config.paths.power_log
        return log.stat().st_size if log.exists() else 0

    def power_events(self, since: int = 0) -> list[PowerEvent]:
        """Return what the power switch saw and did since an offset of its log."""
        with self.config.paths.power_log.open("rb") as log:
            log.seek(since)
            lines = [json.loads(line) for line in log if line.endswith(b"\n")]
        return [
            PowerEvent(
                time=line["time"],
                pc=line.get("pc"),
                action=line["action"],
                mac=line.get("mac"),
                source=line.get("from") or line.get("source", ""),
                via=line.get("via"),
            )
            for line in lines
        ]
