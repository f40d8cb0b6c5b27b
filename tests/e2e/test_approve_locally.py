# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller and server are one machine: what is approved at the page is registered by itself.

The lab's server gets this checkout, its packages and an inventory of its own, as if it had been
made there.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway_lab.api import Lab, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

from ..unit.server.test_registrations import report
from .control import ADDRESS, SPACE, Bench, plug_in, unplug
from .paging import USERS, with_page

# It copies half a gigabyte, and plays five roles on the server itself.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SITE = "/srv/site"
UNIT_SECONDS = 900
MENUS = "/srv/slipway/boot/menu"
PLAY = """
- hosts: image_servers
  become: true
  gather_facts: false
  roles: [slipway.imaging.image_server, slipway.imaging.web_page]
"""


def _bring(server: Server, path: Path, *, but: tuple[str, ...] = ()) -> None:
    """Copy something to where it is here."""
    there = server.root / str(path)[1:]
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(path, there, symlinks=True, ignore=shutil.ignore_patterns(*but))


def _write_inventory(server: Server, *, by_itself: bool) -> None:
    bridge = server.config.bridge
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_host": server.address,
    }
    said = {"web_page_users": USERS, "web_page_approve_locally": by_itself}
    folder = server.root / SITE[1:]
    (folder / "inventory/group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "inventory/machines.d").mkdir(exist_ok=True)
    shutil.copy(ROOT / "inventory/lab/machines.yml", folder / "inventory")
    of_servers = folder / "inventory/group_vars/image_servers"
    of_servers.mkdir(exist_ok=True)
    shutil.copy(ROOT / "inventory/lab/group_vars/image_servers/slipway.yml", of_servers)
    servers = {"hosts": {"img": host}, "vars": said | {"virtual_lab_bridge": bridge}}
    hosts = {"image_servers": servers, "machines": {"hosts": {}}}
    (folder / "inventory/hosts.yml").write_text(json.dumps(hosts))
    (folder / "page.yml").write_text(PLAY)


def _play(server: Server) -> str:
    """Configure the page, on the server."""
    program = Path(sys.prefix) / "bin/ansible-playbook"
    words = [program, "-i", f"{SITE}/inventory", f"{SITE}/page.yml"]
    command = f"cd {shlex.quote(str(ROOT))} && {shlex.join(map(str, words))}"
    done = server.run(command, timeout=UNIT_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def controller(server: Server, tmp_path: Path) -> Iterator[Server]:
    """The lab's server with Ansible on it."""
    # The page's packages come from a network that the server has not.
    made = with_page(tmp_path)
    assert made.returncode == 0, made.output
    venv = Path(sys.prefix).resolve()
    _bring(server, ROOT, but=(".lab*", ".cache", ".venv", ".git", "__pycache__", ".*_cache"))
    _bring(server, ROOT / ".cache/wheels")
    _bring(server, venv, but=("playwright*", "__pycache__"))
    if venv != ROOT / ".venv":
        (server.root / str(ROOT / ".venv")[1:]).symlink_to(venv)
    _write_inventory(server, by_itself=True)
    yield server
    # Its card had other addresses.
    unplug()
    _write_inventory(server, by_itself=False)
    _play(server)
    gone = server.run("systemctl cat slipway-approve.path slipway-approve.service")
    for path in (SITE, str(ROOT), str(venv)):
        shutil.rmtree(server.root / path[1:], ignore_errors=True)
    # The machines that were registered here are not the lab's.
    assert run_playbook("site", quiet=True).returncode == 0
    assert gone.returncode != 0, "turned off, there are no units"


def _registers(bench: Bench, number: int) -> str:
    """A PC asks: the test's own card is each in turn, and who knew the one before forgets it."""
    said = report(number)
    [mac] = said["macs"]
    for words in (f"link set eth0 address {mac}", "neigh flush dev eth0"):
        subprocess.run(["ip", "-n", SPACE, *words.split()], check=True)
    bench.lab.server.succeed(f"ip neigh flush to {ADDRESS.partition('/')[0]}")
    status, answer = bench.request("POST", "/v1/registrations", said)
    assert status in (200, 201), answer
    return str(answer["registration"]["id"])


def _wait(server: Server, what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + UNIT_SECONDS
    while not what():
        said = server.succeed("journalctl --no-pager -u slipway-approve | tail -50")
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


def _approves(server: Server, key: str, name: str) -> None:
    """As the page does, for an admin."""
    said = "-H 'Slipway-By: anna' -H 'Slipway-Role: admin' -H 'Slipway-From: 10.0.0.1' "
    said += f"-H 'Slipway-Groups: *' --json {shlex.quote(json.dumps({'machine': name}))}"
    server.succeed(
        "curl -sS --fail-with-body --unix-socket /run/slipway/web.sock "
        f"{said} http://localhost/v1/registrations/{key}/wish"
    )


def _state(server: Server, key: str) -> Any:
    said = server.succeed(
        "curl -sS --unix-socket /run/slipway/admin.sock http://localhost/v1/registrations"
    )
    return next(each for each in json.loads(said)["registrations"] if each["id"] == key)["state"]


def _unit(server: Server, key: str) -> str:
    return server.succeed(
        f"systemctl show --property {key} --value slipway-approve.service"
    ).strip()


def _runs(server: Server) -> int:
    """How many runs of the playbook have ended."""
    return server.succeed("journalctl --no-pager -u slipway-approve").count("PLAY RECAP")


def test_what_is_approved_is_registered_by_itself(
    controller: Server, lab: Lab, tmp_path: Path
) -> None:
    _play(controller)
    assert "changed=0" in _play(controller)
    assert controller.succeed("systemctl is-active slipway-approve.path").strip() == "active"
    plug_in(lab)
    bench = Bench(lab, tmp_path, "hall")
    first, second = (_registers(bench, number) for number in (71, 72))
    time.sleep(2)
    assert _state(controller, first) == "waiting", "nobody has decided"
    _approves(controller, first, "hall-71")
    _wait(controller, lambda: _unit(controller, "ActiveState") == "activating")
    # While that is at work: it is done by another run.
    _approves(controller, second, "hall-72")
    for key, name in ((first, "hall-71"), (second, "hall-72")):
        _wait(controller, lambda key=key: _state(controller, key) == "approved")
        assert (controller.root / f"{SITE}/inventory/machines.d/{name}.json"[1:]).exists()
        [mac] = report(int(name[-2:]))["macs"]
        assert name in controller.succeed(f"cat {MENUS}/{mac.replace(':', '-')}.ipxe")
    _wait(controller, lambda: _unit(controller, "ActiveState") == "inactive")
    assert _unit(controller, "Result") == "success"
    # A name that is taken is told in the journal, and is not tried again and again.
    before = _runs(controller)
    third = _registers(bench, 73)
    _approves(controller, third, "img")
    _wait(controller, lambda: _runs(controller) > before)
    time.sleep(5)
    assert _runs(controller) == before + 1
    # Ansible folds what it says.
    said = controller.succeed("journalctl --no-pager --output cat -u slipway-approve")
    assert "img is a host or a group of the inventory already" in " ".join(said.split())
    assert _state(controller, third) == "waiting"
    # Nor does it keep others waiting.
    fourth = _registers(bench, 74)
    _approves(controller, fourth, "hall-74")
    _wait(controller, lambda: _state(controller, fourth) == "approved")
    assert _state(controller, third) == "waiting"


def test_a_server_without_ansible_is_refused(lab: Lab, tmp_path: Path) -> None:
    run = with_page(tmp_path, web_page_approve_locally=True)
    assert run.returncode != 0 and not run.changed
    assert "must be the machine on which Ansible runs" in run.output
