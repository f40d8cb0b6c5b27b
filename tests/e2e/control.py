# SPDX-License-Identifier: GPL-3.0-or-later
"""The image server's service from a test, and agents that run beside the lab's PCs.

An agent of this file is the real one, run natively in a network namespace with a card of its own
in the lab's bridge: it checks in from the address of that card, talks TLS to the real nginx and
service, and is quick enough to be killed many times.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_lab.api import Lab, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

ASK = """
import http.client, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/slipway/admin.sock")
link = Unix("localhost")
method, path, body = sys.argv[1:]
link.request(method, path, body or None, {"Content-Type": "application/json"})
answer = link.getresponse()
print(answer.status)
print(answer.read().decode())
"""
# What playbooks are told: how a PC is left, and that each has the image of its name.
OFF = {"imaging_session_after": "poweroff"}
STAY = {"imaging_session_after": "stay"}
EACH_ITS_OWN = {"image": "{{ inventory_hostname }}"}
# Of no machine in the inventory.
MAC = "52:54:00:77:00:ee"
SPACE, PORT, ADDRESS = "slipway-bench", "slw-bench", "10.77.0.9/24"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDm8sF8mDqQOxWNIjRjz1XwTbCcZxnDuYTIFh2kOhqk4"


def admin(server: Server, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Ask the service over its admin socket; return status and answer."""
    text = "" if body is None else json.dumps(body)
    words = shlex.join(["python3", "-", method, path, text])
    status, _, answer = server.succeed(words, stdin=ASK).partition("\n")
    return int(status), json.loads(answer) if answer.strip() else None


def jobs(server: Server) -> list[dict[str, Any]]:
    """Return the jobs of all machines, oldest first."""
    status, answer = admin(server, "GET", "/v1/jobs")
    assert status == 200
    found: list[dict[str, Any]] = answer["jobs"]
    return found


def versions(server: Server, image: str) -> list[str]:
    """Return the versions of an image that the service lists."""
    status, answer = admin(server, "GET", f"/v1/images/{image}")
    return [each["version"] for each in answer["versions"]] if status == 200 else []


def assert_sound(image: str) -> None:
    """Read an image through on the server."""
    check = run_playbook("images", variables={"image": image, "check": "true"}, quiet=True)
    assert check.returncode == 0, check.output


def turned_on(lab: Lab, since: int) -> set[str | None]:
    """Return the PCs that were turned on since an offset of the power log."""
    return {event.pc for event in lab.power_events(since) if event.action == "turned on"}


@contextmanager
def service_stopped(server: Server) -> Iterator[None]:
    """Without the control service, and without what would start it: all of its sockets."""
    required = server.succeed("systemctl show --property Requires --value slipway.service").split()
    units = " ".join(["slipway.service", *(each for each in required if each.endswith(".socket"))])
    server.succeed(f"systemctl stop {units}")
    try:
        yield
    finally:
        server.succeed(f"systemctl start {units}")


@dataclass
class Bench:
    """One session of a machine that is no PC: agents run on this host, disks are files."""

    lab: Lab
    folder: Path
    machine: str
    session: str = ""

    @property
    def session_file(self) -> Path:
        """What `slipway checkin` leaves in a real machine."""
        return self.folder / f"{self.machine}.session.json"

    def enter(self, verb: str, image: str) -> None:
        """Open a session and check in."""
        body = {"machine": self.machine, "macs": [MAC], "verb": verb, "image": image}
        status, answer = admin(self.lab.server, "POST", "/v1/sessions", body)
        assert status == 201, answer
        self.session = answer["id"]
        status, granted = self.check_in(self.session)
        assert status == 200, granted
        ca = self.folder / "ca.crt"
        ca.write_text(self.lab.server.succeed("cat /etc/slipway/tls/ca.crt"))
        content = {
            "server": f"https://{self.lab.server.address}",
            "ca": str(ca),
            "token": granted["token"],
            "session": self.session,
            "machine": self.machine,
            "verb": verb,
            "image": image,
            "version": granted["session"]["version"] or "",
        }
        self.session_file.write_text(json.dumps(content))

    def check_in(self, session: str) -> tuple[int, Any]:
        """Post a check-in for a session over TLS, as a machine does."""
        body = {
            "session": session,
            "macs": [MAC],
            "host_key": HOST_KEY,
            "hardware": {},
            "agent_version": "0.1.0",
            "nonce": os.urandom(16).hex(),
        }
        return self.request("POST", "/v1/checkin", body)

    def request(
        self, method: str, path: str, body: object = None, token: str = ""
    ) -> tuple[int, Any]:
        """Send a request over TLS from inside the lab's network."""
        words = ["curl", "-sk", "-X", method, "-w", "\n%{http_code}"]
        words += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        if token:
            words += ["-H", f"Authorization: Bearer {token}"]
        words.append(f"https://{self.lab.server.address}{path}")
        text = subprocess.run(
            self._inside(words), input=json.dumps(body), capture_output=True, text=True, check=True
        ).stdout
        answer, _, status = text.rpartition("\n")
        return int(status), json.loads(answer) if answer.strip() else None

    def leave(self) -> None:
        """End the session."""
        admin(self.lab.server, "DELETE", f"/v1/sessions/{self.session}?outcome=done")

    def agent(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the agent in the session."""
        words = [sys.executable, "-m", "slipway", *arguments]
        words += ["--session", str(self.session_file), "--json"]
        return subprocess.Popen(
            self._inside(words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "client_image/agent")},
        )

    def work(self, *arguments: str) -> dict[str, Any]:
        """Let the agent work to its end, which must be a good one; return its result."""
        agent = self.agent(*arguments)
        output, problems = agent.communicate(timeout=300)
        assert agent.returncode in (0, 1), output[-2000:] + problems
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def _inside(self, words: list[str]) -> list[str]:
        plug_in(self.lab)
        return ["nsenter", f"--net=/run/netns/{SPACE}", "--", *words]


def plug_in(lab: Lab) -> None:
    """Make the card with MAC, unless it is there."""
    inside = ("ip", "-n", lab.config.namespace)
    there = subprocess.run([*inside, "link", "show", PORT], capture_output=True, check=False)
    if there.returncode == 0:
        return
    unplug()
    card = ("peer", "name", "eth0", "address", MAC, "netns", SPACE)
    for words in (
        ("ip", "netns", "add", SPACE),
        (*inside, "link", "add", PORT, "type", "veth", *card),
        (*inside, "link", "set", PORT, "master", lab.config.bridge, "up"),
        ("ip", "-n", SPACE, "addr", "add", ADDRESS, "brd", "+", "dev", "eth0"),
        ("ip", "-n", SPACE, "link", "set", "eth0", "up"),
    ):
        subprocess.run(words, check=True)


def unplug() -> None:
    """Remove the namespace, and the card with it."""
    subprocess.run(["ip", "netns", "del", SPACE], check=False, stderr=subprocess.DEVNULL)


def kill(process: subprocess.Popen[str]) -> bool:
    """Kill a process as a power cut would; False when it had ended before."""
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return True
