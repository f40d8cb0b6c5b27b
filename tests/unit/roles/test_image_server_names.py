# SPDX-License-Identifier: GPL-3.0-or-later
"""By which names and addresses machines know an image server, wherever they are said."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.server_addresses import server_addresses
from slipway.net.nearest import nearest

from ...fixtures import warm_python
from ..server.nginx_site import configuration, unpack_nginx
from ..server.nginx_site import render as render_site
from .namespace import Namespace, server_and_pcs
from .rendering import FACTS, ROOT, run

pytestmark = pytest.mark.xdist_group("image server's names")

ROLE = ROOT / "roles/image_server"
ROOM = {"interface": "lab1"}
RELAYED = {"network": "10.79.0.0/24", "router": "10.79.0.1"}
FIRST = "#!ipxe\nset slwfiles http://10.77.0.1\niseq x y && set slwfiles tftp://10.77.0.1 ||\n"
FIRST += "chain http://10.77.0.1/boot/x.ipxe ||\necho 10.77.0.1 http://10.77.0.100/\n"


@pytest.mark.parametrize(
    ("address", "subnets", "main", "apart"),
    [
        ("10.77.0.1", [], "10.77.0.1", {}),
        ("192.0.2.9", [], "192.0.2.9", {}),
        ("imgserver", [], "10.77.0.1", {}),
        ("imgserver.room", [RELAYED], "10.77.0.1", {}),
        ("10.77.0.1", [ROOM, RELAYED], "10.77.0.1", {"10.78.0.0/24": "10.78.0.1"}),
    ],
)
def test_by_which_addresses_machines_reach_it(
    address: str, subnets: list[dict[str, Any]], main: str, apart: dict[str, str]
) -> None:
    found = server_addresses(FACTS, address, "lab0", subnets)
    assert found == {"main": main, "apart": apart}


def test_without_an_interface_of_ours_a_name_stays_one() -> None:
    assert server_addresses({}, "imgserver") == {"main": "imgserver", "apart": {}}
    with pytest.raises(AnsibleFilterError, match="eth9 has no IPv4 address"):
        server_addresses(FACTS, "10.77.0.1", "eth9")


PLAY = """
- hosts: image_servers
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.set_fact:
            cacheable: true
            os_family: Debian
            service_mgr: systemd
            python: {version: {major: 3, minor: 11}}
            processor_vcpus: 2
            hostname: "{{ host }}"
            interfaces: "{{ facts.interfaces }}"
            lab0: "{{ facts.lab0 }}"
            lab1: "{{ facts.lab1 }}"
        - ansible.builtin.include_role:
            name: slipway.imaging.image_server
            tasks_from: preflight
            public: true
        - ansible.builtin.copy:
            content: "{{ found | to_json }}"
            dest: "{{ out }}/{{ inventory_hostname }}"
            mode: "0644"
          vars:
            found: {names: "{{ _image_server_alt_names }}", rewrite: "{{ _image_server_rewrite }}"}
      rescue:
        - ansible.builtin.copy:
            content: "{{ {'refused': ansible_failed_result.msg} | to_json }}"
            dest: "{{ out }}/{{ inventory_hostname }}"
            mode: "0644"
"""
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (
        {"image_server_address": "10.77.0.1"},
        {"names": ["IP:10.77.0.1", "DNS:img"], "rewrite": False},
    ),
    "name": (
        {"image_server_address": "imgserver.room", "pxe_server_interface": "lab0"},
        {"names": ["DNS:imgserver.room", "DNS:img", "IP:10.77.0.1"], "rewrite": True},
    ),
    "cards": (
        {
            "image_server_address": "10.77.0.1",
            "pxe_server_interface": "lab0",
            "pxe_server_subnets": [ROOM],
        },
        {"names": ["IP:10.77.0.1", "DNS:img", "IP:10.78.0.1"], "rewrite": True},
    ),
    "digits": (
        {"image_server_address": "10.77.0.1", "host": "10234"},
        {"names": ["IP:10.77.0.1", "DNS:10234"], "rewrite": False},
    ),
    "long": (
        {"image_server_address": "a" * 51, "host": "a" * 51},
        {"names": ["DNS:" + "a" * 51], "rewrite": False},
    ),
}
REFUSED = ("fd00::1", "2001:db8::10", "10.77.0.999", "1.2.3", "10.77.0.1:80", "https://img", "Img")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the role makes of each server's address, and what it says to those it refuses."""
    folder = tmp_path_factory.mktemp("names")
    hosts = {name: variables for name, (variables, _) in CASES.items()}
    hosts |= {f"bad{n}": {"image_server_address": text} for n, text in enumerate(REFUSED)}
    shared = {"ansible_connection": "local", "out": str(folder), "facts": FACTS, "host": "img"}
    # Those of the play stand for the server's, whatever this host is.
    shared["__common_facts"] = {}
    shared["ansible_python_interpreter"] = warm_python.for_modules()
    inventory = {"image_servers": {"hosts": hosts, "vars": shared}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "play.yml").write_text(PLAY)
    run(folder, "play.yml")
    return {name: json.loads((folder / name).read_text()) for name in hosts}


@pytest.mark.plays
@pytest.mark.parametrize("case", CASES)
def test_what_stands_in_the_certificate(said: dict[str, Any], case: str) -> None:
    assert said[case] == CASES[case][1]


@pytest.mark.plays
@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_no_pc_could_boot_from_is_refused(said: dict[str, Any], number: int) -> None:
    assert "IPv4 address such as 192.168.1.10" in said[f"bad{number}"]["refused"]


@pytest.mark.parametrize("letters", [1, 50, 51, 63, 64])
def test_openssl_takes_the_name_of_every_host(tmp_path: Path, letters: int) -> None:
    tasks = (ROLE / "tasks/tls.yml").read_text()
    subjects = re.findall(r"/CN=.*", tasks)
    assert len(subjects) == 2
    for subject in subjects:
        name = jinja2.Template(subject).render(ansible_facts={"hostname": "a" * letters})
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        made += ["-nodes", "-keyout", "k", "-out", "c", "-subj", name]
        done = subprocess.run(made, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "a" * min(letters, 50) in name


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Namespace, Namespace]]:
    with server_and_pcs() as both:
        yield both


@pytest.mark.plays
def test_each_machine_goes_on_with_the_address_by_which_it_came(
    network: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    server, pcs = network
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/boot.ipxe").write_text(FIRST)
    config = render_site(
        "etc/nginx/conf.d/slipway.conf.j2",
        _image_server_boot_root=str(tmp_path / "boot"),
        _image_server_logs=str(tmp_path),
        image_server_store_dir=str(tmp_path),
        _image_server_rewrite=True,
    )
    # The half in clear alone: the other one needs certificates.
    config = config.rpartition("\nserver {")[0]
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, config))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    words = server.words(
        unpack_nginx(), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")
    )
    with subprocess.Popen(words) as nginx:
        try:
            deadline = time.monotonic() + 20
            while ":80 " not in server.run("ss", "-Hltn") and time.monotonic() < deadline:
                time.sleep(0.1)
            for address in ("10.77.0.1", "10.78.0.1"):
                said = pcs.run("curl", "-sS", "--fail", f"http://{address}/boot.ipxe")
                assert said == FIRST.replace("://10.77.0.1\n", f"://{address}\n").replace(
                    "://10.77.0.1 ", f"://{address} "
                ).replace("://10.77.0.1/", f"://{address}/")
        finally:
            nginx.terminate()


NEAREST = """
import sys
sys.path.insert(0, sys.argv[1])
from slipway.net.nearest import nearest
print(nearest("https://10.77.0.1", {"10.78.0.0/24": "https://10.78.0.1"}, patience=0))
"""


@pytest.mark.plays
def test_the_environment_speaks_to_the_address_in_its_own_network(
    network: tuple[Namespace, Namespace],
) -> None:
    _, pcs = network
    agent = str(ROOT / "client_image/agent")
    assert pcs.python(NEAREST, agent).strip() == "https://10.78.0.1"
    pcs.run("ip", "link", "set", "pc1", "down")
    assert pcs.python(NEAREST, agent).strip() == "https://10.77.0.1"


def test_with_one_network_nobody_waits() -> None:
    def sleep(_: float) -> None:
        raise AssertionError("it waited")

    assert nearest("https://192.0.2.1", {}, sleep=sleep) == "https://192.0.2.1"
