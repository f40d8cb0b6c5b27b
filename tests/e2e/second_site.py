# SPDX-License-Identifier: GPL-3.0-or-later
"""A second lab beside the ordinary one: a site with a server of its own, on a slow line."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slipway_lab.server
import zstandard
from slipway_lab.api import Lab, Server
from slipway_lab.playbook_runs import LAB, ROOT, PlaybookRun, run_playbook

INVENTORY = ROOT / "tests/fixtures/second_site"
STATE = ROOT / ".lab-bonn"
STORE = "var/lib/slipway/store"
# Ends of the line between the sites.
HERE, THERE = ("slw-to-bonn", "10.76.0.1"), ("slw-to-berlin", "10.76.0.2")
RATE = "50mbit"


@dataclass
class Sites:
    """Berlin is the ordinary lab, Bonn the one beside it."""

    berlin: Lab
    bonn: Lab
    folder: Path

    def play(
        self, name: str, site: Lab, options: str = "", policy: dict[str, Any] | None = None
    ) -> PlaybookRun:
        """Run a playbook at a site; it must succeed."""
        if policy is not None:
            (self.folder / "policy.json").write_text(json.dumps(policy))
            options = f"-e@{self.folder / 'policy.json'} {options}"
        inventory = LAB if site is self.berlin else INVENTORY
        run = run_playbook(name, options=options, inventories=(inventory,), quiet=True)
        assert run.returncode == 0, run.output
        return run

    def cut_power_of_bonn(self) -> None:
        """Kill its server as a power cut would, and start it again."""
        running = slipway_lab.server.pid(self.bonn.config)
        assert running is not None
        os.kill(running, signal.SIGKILL)
        self.play("lab_up", self.bonn)

    def line(self, state: str) -> None:
        """Take the line `down`, or bring it `up`."""
        _ip(self.berlin, "link", "set", HERE[0], state)
        if state == "up":
            self.route()

    def route(self) -> None:
        """Let Bonn find Berlin's server; a line that was down has forgotten it."""
        _ip(self.bonn, "route", "replace", f"{self.berlin.server.address}/32", "via", HERE[1])

    def sent(self) -> int:
        """Bytes of chunks that Berlin's nginx sent to the other site; it writes every 5 s."""
        time.sleep(6)
        log = self.berlin.server.succeed("cat /var/log/slipway/access.log")
        lines = re.findall(rf'^{THERE[1]} .*/chunks/[0-9a-f]{{64}}" 20[06] (\d+)', log, re.M)
        return sum(map(int, lines))


@contextmanager
def second_site(lab: Lab, folder: Path) -> Iterator[Sites]:
    """Bring it up and configure it with the ordinary playbooks; take it down at the end."""
    for name in ("lab_up", "site"):
        run = run_playbook(name, inventories=(INVENTORY,), quiet=True)
        assert run.returncode == 0, run.output
    sites = Sites(lab, Lab.load(STATE), folder)
    try:
        _join(sites)
        yield sites
    finally:
        run = run_playbook("lab_down", inventories=(INVENTORY,), quiet=True)
        assert run.returncode == 0, run.output


def _ip(lab: Lab, *words: str) -> None:
    subprocess.run(["ip", "-n", lab.config.namespace, *words], check=True)


def _join(sites: Sites) -> None:
    berlin, bonn = sites.berlin, sites.bonn
    far = ("peer", "name", THERE[0], "netns", bonn.config.namespace)
    _ip(berlin, "link", "add", HERE[0], "type", "veth", *far)
    for lab, (card, address) in ((berlin, HERE), (bonn, THERE)):
        _ip(lab, "addr", "add", f"{address}/30", "dev", card)
        _ip(lab, "link", "set", card, "up")
    sites.route()
    shape = ["tc", "-n", berlin.config.namespace, "qdisc", "add", "dev", HERE[0], "root", "tbf"]
    subprocess.run([*shape, "rate", RATE, "burst", "64kb", "latency", "100ms"], check=True)


def chunks(server: Server) -> dict[str, Path]:
    """The chunks of a site's store, as this host sees them."""
    return {each.name: each for each in (server.root / STORE / "chunks").glob("*/*/*")}


def kept(server: Server) -> int:
    """Their bytes."""
    return sum(each.stat().st_size for each in chunks(server).values())


def manifest(server: Server, image: str, version: str) -> bytes:
    """A manifest as it lies there."""
    return (server.root / STORE / "images" / image / f"{version}.json").read_bytes()


def assert_each_is_what_it_is_called(server: Server) -> None:
    """By zstd and SHA-256 alone."""
    unpack = zstandard.ZstdDecompressor()
    for digest, path in chunks(server).items():
        with path.open("rb") as file:
            assert hashlib.sha256(unpack.stream_reader(file).read()).hexdigest() == digest
