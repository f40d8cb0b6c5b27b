# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC in the imaging environment that does whatever a test wants: a real sshd on loopback.

Its root is hostile: a program answers in the place of its shell and its Python. The image server is
the FakeService of conftest.py, and what runs against both are the project's own playbooks.
"""

from __future__ import annotations

import atexit
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...fixtures import warm_python

ROOT = Path(__file__).resolve().parents[3]
# `make test-plays` unpacks it where this host has none: installed, it would listen to the network.
_UNPACKED = ROOT / ".cache/openssh-server/usr"
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:{_UNPACKED / 'sbin'}")
SESSION = "0123456789abcdef"
VERSION = "20260131T235959Z"

# What the PC runs for every command. It knows three: a module, the farewell, anything else. Of a
# module it keeps the name of its job.
_SHELL = r"""#!/usr/bin/python3
import json, os, re, sys, time

folder = os.path.dirname(os.path.abspath(__file__))
command = os.environ.get("SSH_ORIGINAL_COMMAND", "")
kind = "hello"
for word, name in (("python", "module"), ("systemctl reboot", "farewell"),
                   ("systemctl poweroff", "farewell"), ("slipway/stay", "farewell")):
    if word in command:
        kind = name
        break
with open(folder + "/commands", "a") as log:
    log.write(json.dumps([kind, command]) + "\n")
with open(folder + "/environment", "a") as log:
    log.writelines(name + "\n" for name in os.environ)
answers = json.load(open(folder + "/answers.json"))
do = answers.get(kind, {})
if kind == "module" and not do.get("deaf"):
    found = re.search(rb'"job": *"([a-z0-9-]+)"', sys.stdin.buffer.read().replace(b"\\", b""))
    if found:
        open(folder + "/job", "wb").write(found[1])
sys.stdout.write(do.get("out", ""))
sys.stderr.write(do.get("err", ""))
sys.stdout.flush()
sys.stderr.flush()
end = time.monotonic() + do.get("flood", 0)
while time.monotonic() < end:
    os.write(1, b"x" * 65536)
time.sleep(do.get("hang", 0))
sys.exit(do.get("code", 0))
"""


@dataclass
class Pc:
    """One sshd with its host key."""

    folder: Path
    port: int
    sshd: subprocess.Popen[bytes]
    address: str = "127.0.0.1"
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def host_key(self) -> str:
        return (self.folder / "host_key.pub").read_text().strip()

    @property
    def commands(self) -> list[list[str]]:
        """Every command that reached it: its kind, and its text."""
        log = self.folder / "commands"
        return [json.loads(row) for row in log.read_text().splitlines()] if log.exists() else []

    @property
    def environment(self) -> set[str]:
        """The names of all variables that its commands had."""
        return set((self.folder / "environment").read_text().split())

    def answer(self, **answers: dict[str, Any]) -> None:
        """Say what it answers from now on, by the kind of the command."""
        self.answers |= answers
        # A command that is just being answered reads the ones or the others.
        draft = self.folder / "answers.new"
        draft.write_text(json.dumps(self.answers))
        draft.rename(self.folder / "answers.json")

    def module_says(self, answer: object) -> None:
        self.answer(module={"out": f"\n{json.dumps(answer)}\n"})

    @property
    def job(self) -> str:
        """The name of the job that it was told to start last; empty before that."""
        path = self.folder / "job"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """End its sshd, and every connection."""
        self.sshd.kill()
        _end_all(self.folder / "shell")
        _end_all(self.folder / "sshd_config")


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@contextmanager
def running_pc(folder: Path, login: Path) -> Iterator[Pc]:
    """Run a PC that lets in the key `login`."""
    assert SSHD is not None
    folder.mkdir()
    # sshd wants it, and nothing else here makes it.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    shell = folder / "shell"
    shell.write_text(_SHELL)
    shell.chmod(0o755)
    key = make_key(folder / "host_key")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": key,
        "PidFile": "none",
        "AuthorizedKeysFile": f"{login}.pub",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "UsePAM": "no",
        "ForceCommand": shell,
        "MaxStartups": "100",
        "MaxSessions": "100",
        "AcceptEnv": "*",
    }
    if SSHD.startswith(str(_UNPACKED)):
        settings |= _parts()
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    command = [*_with_its_user(folder), SSHD, "-D", "-e", "-f", config]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as sshd:
        try:
            _await(port)
            pc = Pc(folder, port, sshd)
            pc.answer()
            yield pc
        finally:
            sshd.kill()
            _end_all(shell)


def _end_all(program: Path) -> None:
    """End what a PC still runs: a shell that hangs outlives the connection that began it."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(program).encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def _parts() -> dict[str, Any]:
    """Say where the programs are that newer ones than Debian 12's start for a connection."""
    names = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
    found = {name: _UNPACKED / "lib/openssh" / program for name, program in names.items()}
    return {name: path for name, path in found.items() if path.exists()}


def _with_its_user(folder: Path) -> list[str | Path]:
    """Return what stands before the command where no package has made the user of sshd."""
    with suppress(KeyError):
        pwd.getpwnam("sshd")
        return []
    users = folder / "passwd"
    more = "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    users.write_text(Path("/etc/passwd").read_text() + more)
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd; exec "$@"', users]


def _await(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("sshd does not listen")


@dataclass
class Site:
    """A controller with an inventory of one image server and one PC."""

    folder: Path
    login: Path
    service: Any

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.known_hosts_dir = self.folder / "known_hosts"

    @property
    def inventory(self) -> Path:
        return self.folder / "hosts.yml"

    def describe(self, **pc: Any) -> None:
        """Write the inventory; `pc` is what it says of the PC beyond what it must."""
        server = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": warm_python.for_modules(),
        }
        machine = {
            "machine_macs": ["52:54:00:77:00:01"],
            "ansible_ssh_private_key_file": str(self.login),
            "imaging_session_wake": False,
            "imaging_session_server_python": warm_python.for_modules(),
            "imaging_session_admin_socket": self.service.path,
            "imaging_session_known_hosts_dir": str(self.known_hosts_dir),
        } | pc
        groups = {
            "image_servers": {"hosts": {"img": server}},
            "machines": {"hosts": {"pc1": machine}},
        }
        self.inventory.write_text(json.dumps(groups))

    def serve(self, pc: Pc, heard: Callable[[], Mapping[str, Any]] = dict, **changes: Any) -> None:
        """Let the service know a session whose machine is this PC.

        `heard` is asked at each look for what the job has said by then: `progress`, `result`.
        """
        seen = {
            "id": SESSION,
            "machine": "pc1",
            "state": "checked_in",
            "outcome": None,
            "image": "pc1",
            "version": VERSION,
            "boot_script_served": 1,
            "refused_checkins": 0,
            "image_check": None,
            "address": pc.address,
            "host_key": pc.host_key,
            "progress": None,
            "result": None,
            "last_heard": None,
            **changes,
        }
        path = f"/v1/sessions/{SESSION}"
        self.service.answer("POST", "/v1/sessions", seen)

        def look() -> dict[str, Any]:
            said = {kind: record | {"job": pc.job} for kind, record in heard().items()}
            return seen | said | {"last_heard": str(time.monotonic())}

        self.service.answer("GET", path, look)
        self.service.answer("DELETE", path, seen | {"state": "ended", "outcome": "failed"})

    @property
    def outcome(self) -> str:
        """What the session was ended with."""
        [path] = [path for verb, path, _body in self.service.asked if verb == "DELETE"]
        return str(path.partition("outcome=")[2])

    def environment(self, **more: str) -> dict[str, str]:
        home = {"ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"), "ANSIBLE_NOCOLOR": "1"}
        paths = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "5000"}
        # The path of a socket has room for 107 bytes.
        sockets = tempfile.mkdtemp(prefix="slw-cp-")
        atexit.register(shutil.rmtree, sockets, ignore_errors=True)
        control = {"ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, **home, **paths, **control, "PATH": tools, **more}

    def play(
        self, pc: Pc, verb: str, *options: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the project's playbooks for the PC."""
        own = self.environment(**(environment or {}))
        words = [*warm_python.ansible(own), "-i", str(self.inventory), "-l", "pc1"]
        words += ["-e", f"ansible_port={pc.port}", *options, f"playbooks/{verb}.yml"]
        return subprocess.run(
            words,
            cwd=ROOT,
            env=own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=400,
        )
