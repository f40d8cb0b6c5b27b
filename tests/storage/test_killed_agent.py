# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends an agent is told to the image server, with the environment's own systemd."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils import _agent

from .guest_pc import IMAGE, ROOT

# Else each worker would unpack an environment of its own.
pytestmark = pytest.mark.xdist_group("killed agent")

SESSION = {
    "server": "https://127.0.0.1",
    "ca": "/root/crt",
    "token": "secret",
    "session": "s",
    "machine": "pc1",
    "verb": "backup",
    "image": "pc1",
    "version": "",
}
# Takes what is posted, as the service does.
SERVER = """
import http.server, ssl
class Service(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("/root/asked", "a") as asked:
            asked.write(self.path + " " + body + chr(10))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/crt", "/root/key")
service = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Service)
service.socket = context.wrap_socket(service.socket, server_side=True)
service.serve_forever()
"""
# Stands in for an agent at work: what matters is how it ends.
WORK = """echo '{"type":"progress","done":1}'; echo no memory left >&2; """


class Module:
    """What start_job needs of Ansible's: it keeps the command."""

    def __init__(self, job: str) -> None:
        # That folder is there on this host, too, where start_job looks.
        self.params = {
            "job": job,
            "jobs_dir": "/tmp",
            "threads": None,
            "session_file": "/run/slipway/session.json",
        }
        self.command: list[str] = []

    def get_bin_path(self, name: str, opt_dirs: object = None) -> str:
        return {"systemd-run": "/usr/bin/systemd-run", "slipway": "/usr/local/bin/slipway"}[name]

    def run_command(self, words: list[str]) -> tuple[int, str, str]:
        self.command = words
        return 0, "", ""


class Environment:
    """The imaging environment's own system, without a kernel of its own."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self.leader = root, leader

    def run(self, *words: str) -> str:
        inside = ["nsenter", "--all", f"--target={self.leader}", "--", *words]
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    build = subprocess.run([IMAGE / "build"], stdout=subprocess.PIPE, text=True, check=True)
    initrd = Path(build.stdout.splitlines()[-1]) / "initrd.img"
    unpack = f"zstd -dc {initrd} 2>/dev/null | cpio -idm --quiet; test -e usr/bin/python3"
    subprocess.run(["sh", "-c", unpack], cwd=folder, check=True)
    shutil.copytree(ROOT / "client_image/agent/slipway", folder / "usr/lib/slipway/slipway")
    shutil.copy(IMAGE / "site/usr/local/bin/slipway", folder / "usr/local/bin/slipway")
    (folder / "usr/local/bin/slipway").chmod(0o755)
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "2", "-subj", "/CN=img", "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(folder / "root/key"), "-out", str(folder / "root/crt")]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "root/server.py").write_text(SERVER)
    return folder


@pytest.fixture(scope="module")
def environment(root: Path) -> Iterator[Environment]:
    words = ["systemd-nspawn", "--quiet", f"--directory={root}", f"--machine=env-{os.getpid()}"]
    words += ["--private-network", "--register=no", "--keep-unit", "--settings=no"]
    words += ["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--boot"]
    nspawn = subprocess.Popen([*words, "systemd.unit=basic.target"], stdout=subprocess.DEVNULL)
    leader = 0
    try:
        leader = _wait_for(lambda: _leader(nspawn.pid))
        made = Environment(root, leader)
        _wait_for(lambda: _is_up(made))
        made.run("ip", "link", "set", "lo", "up")
        made.run("mkdir", "-p", "/run/slipway")
        made.run("sh", "-c", f"echo '{json.dumps(SESSION)}' > /run/slipway/session.json")
        made.run("systemd-run", "--quiet", "--unit=service", "python3", "/root/server.py")
        _wait_for(lambda: ":443" in made.run("ss", "-Hltn"))
        yield made
    finally:
        for process in (leader, nspawn.pid):
            with suppress(ProcessLookupError):
                if process:
                    os.kill(process, signal.SIGKILL)
        nspawn.wait(30)


def _leader(nspawn: int) -> int | None:
    """Return the first process inside, once it is systemd: others come and go before it."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        with suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return None


def _is_up(made: Environment) -> bool:
    try:
        return bool(made.run("systemctl", "list-units", "--no-legend", "basic.target"))
    except AssertionError:
        return False


def _wait_for(look: Any) -> Any:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError("it does not come")


@pytest.mark.parametrize(
    ("end", "result", "status"),
    [
        ("exec python3 -c 'import os; os.kill(os.getpid(), 9)'", "signal", "KILL"),
        ("exit 3", "exit-code", "3"),
        ("exit 0", "success", "0"),
    ],
)
def test_however_it_ends(environment: Environment, end: str, result: str, status: str) -> None:
    asked = environment.root / "root/asked"
    asked.unlink(missing_ok=True)
    job = f"backup-{os.getpid()}-{result}"
    module = Module(job)
    started = _agent.start_job(module, ["backup"])  # type: ignore[arg-type]
    start = module.command[: module.command.index("--") + 1]
    environment.run(*start, "/bin/sh", "-c", WORK + end)
    if result == "success":
        # Its unit is gone, and so is the one that would have told.
        units = ("systemctl", "list-units", "--no-legend", "--all", f"{started['unit']}*")
        _wait_for(lambda: not environment.run(*units, "run-*.service").strip())
        assert not asked.exists()
        return
    path, _, said = _wait_for(lambda: asked.exists() and asked.read_text()).partition(" ")
    killed = {"type": "killed", "result": result, "status": status, "said": "no memory left"}
    assert (path, json.loads(said)) == ("/v1/session/result", killed | {"job": job})
    rows = [json.loads(row) for row in environment.run("cat", started["log"]).splitlines()]
    assert rows == [{"type": "progress", "done": 1}, killed]
