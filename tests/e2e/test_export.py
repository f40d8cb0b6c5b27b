# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC's disk leaves the store by another way than a restore, and boots all the same."""

import json
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from slipway_lab.api import Pc, Server
from slipway_lab.playbook_runs import run_playbook

from . import independent

BOOT_SECONDS = 300


@pytest.mark.slow
def test_an_exported_disk_boots_to_its_own_login(pc1: Pc, server: Server, tmp_path: Path) -> None:
    off = {"imaging_session_after": "poweroff"}
    run = run_playbook("backup", limit="pc1", variables=off, quiet=True)
    assert run.returncode == 0, run.output
    pc1.wait_until_off()

    to = "/var/lib/slipway/exports/pc1.qcow2"
    server.succeed(f"rm -f {to}")
    variables = {"image": "pc1", "format": "qcow2", "to": to}
    for changed in (True, False):
        run = run_playbook("export", variables=variables, quiet=True)
        assert run.returncode == 0, run.output
        assert bool(run.changed) is changed

    exported = server.root / to[1:]
    same = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", pc1.disk_path, exported]
    root = independent.partitions(pc1.disk_path)[0]
    pc1.overwrite_disk()
    subprocess.run(
        ["qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", exported, pc1.disk_path],
        check=True,
    )
    subprocess.run(same, check=True)
    assert independent.partitions(pc1.disk_path)[0] == root
    since = pc1.console_offset()
    assert pc1.power_on()
    pc1.wait_for_own_disk(since, timeout=BOOT_SECONDS)
    pc1.shutdown()

    words = {"image": "pc1", "path": "/etc/os-release", "to": str(tmp_path)}
    run = run_playbook("files", variables=words, quiet=True)
    assert run.returncode == 0, run.output
    assert "ID=debian" in (tmp_path / "os-release").read_text()
    _the_page_gets_the_same(server)


def _the_page_gets_the_same(server: Server) -> None:
    """By the service's socket for the page, and the units that look into images for it."""
    version = _asked(server, "GET", "images/pc1")["versions"][0]["version"]
    wanted = {"kind": "file", "path": "/etc/os-release"}
    made = _asked(server, "POST", f"images/pc1/{version}/downloads", wanted)
    deadline = time.monotonic() + BOOT_SECONDS
    while not made["ended"]:
        assert time.monotonic() < deadline
        time.sleep(1)
        made = _asked(server, "GET", f"downloads/{made['id']}")
    assert made["state"] == "ready", made
    place = _asked(server, "POST", f"downloads/{made['id']}/take")["place"]
    # As nginx reads it.
    said = server.succeed(f"runuser -u www-data -- cat /var/lib/slipway/downloads/{place}")
    assert "ID=debian" in said
    listed = _asked(server, "GET", f"images/pc1/{version}/files?path=/etc")
    assert listed["state"] in ("read", "being read")
    _asked(server, "DELETE", f"downloads/{made['id']}")
    assert server.succeed("ls /var/lib/slipway/downloads").split() == []


def _asked(server: Server, method: str, path: str, body: Any = None) -> dict[str, Any]:
    who = {"By": "anna", "Role": "operator", "Groups": "*", "From": "10.0.0.1"}
    said = " ".join(f"-H 'Slipway-{key}: {value}'" for key, value in who.items())
    if body is not None:
        said += f" --json {shlex.quote(json.dumps(body))}"
    answer = server.succeed(
        f"curl -sS --fail-with-body --unix-socket /run/slipway/web.sock -X {method} {said} "
        f"{shlex.quote(f'http://localhost/v1/{path}')}"
    )
    found: dict[str, Any] = json.loads(answer)
    return found
