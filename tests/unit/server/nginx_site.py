# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's nginx site and certificates, made without Ansible."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jinja2
import yaml

from .conftest import PATIENCE
from .heavy import children

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/image_server"
_UNPACKED = ROOT / ".cache/nginx"
WORKERS = 2
NGINX = shutil.which("nginx") or str(_UNPACKED / "usr/sbin/nginx")


def unpack_nginx() -> str:
    """The path of nginx; unpacked below .cache, not installed, where this host has none."""
    if not Path(NGINX).exists():
        _UNPACKED.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_UNPACKED.parent) as place:
            folder = Path(place)
            subprocess.run(["apt-get", "download", "-q", "nginx"], cwd=folder, check=True)
            [package] = folder.glob("nginx_*.deb")
            subprocess.run(["dpkg-deb", "--extract", package, folder / "root"], check=True)
            # Another process may have been quicker.
            with suppress(OSError):
                (folder / "root").rename(_UNPACKED)
    return NGINX


def configuration(folder: Path, site: str) -> str:
    """A whole nginx.conf around the role's site; everything that it writes lies in ``folder``."""
    # When root runs the tests, nginx answers as root: the folders of pytest are nobody else's.
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(
        f"{kind}_temp_path {folder}/temp/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "temp").mkdir(exist_ok=True)
    return (
        f"pid {folder}/pid; error_log {folder}/main-error.log; daemon off; {user}\n"
        f"worker_processes {WORKERS}; worker_rlimit_nofile 40000;\n"
        f"events {{ worker_connections 32768; }}\nhttp {{ {temporary}\n{site} }}\n"
    )


def free_port(address: str) -> int:
    """A TCP port of this machine that nobody has."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_nginx(
    folder: Path, address: tuple[str, int] | str
) -> Iterator[subprocess.Popen[bytes]]:
    """nginx as ``folder``'s nginx.conf has it, from when it and its workers are there.

    It listens at the ``address``: host and port, or the path of a unix socket.
    """
    nginx = subprocess.Popen([unpack_nginx(), "-c", folder / "nginx.conf", "-p", folder])
    try:
        deadline = time.monotonic() + PATIENCE
        while len(children(nginx.pid)) < WORKERS or not _answers(address):
            assert nginx.poll() is None, "nginx takes no such site"
            assert time.monotonic() < deadline, "nginx does not answer; see its error.log"
            time.sleep(0.05)
        yield nginx
    finally:
        nginx.terminate()
        nginx.wait(20)


def _answers(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def render(template: str, **values: Any) -> str:
    """A template of the role, with the role's own variables where a test has no other."""
    kept = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    text = (ROLE / "templates" / template).read_text()
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined)
        .from_string(text)
        .render({"ansible_managed": "test", "image_server_address": "10.77.0.1"} | kept | values)
    )


def make_certificates(folder: Path, *names: str, start: str = "", end: str = "") -> None:
    """As tasks/tls.yml does, with the role's own openssl.cnf; dates as YYYYMMDDHHMMSSZ."""
    config = folder / "openssl.cnf"
    config.write_text(
        render(
            "etc/slipway/tls/openssl.cnf.j2",
            _image_server_alt_names=list(names),
            _image_server_tls=str(folder),
        )
    )
    (folder / "signed").mkdir(exist_ok=True)
    (folder / "signed/index.txt").touch()
    dates = ["-startdate", start or "20200101000000Z"]
    dates += ["-enddate", end] if end else ["-days", "2"]
    for who, how in (("ca", ["-selfsign"]), ("server", ["-cert", "ca.crt"])):
        key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{who}.key"]
        _openssl(folder, "genpkey", *key)
        config = ["-config", "openssl.cnf"]
        request = ["-subj", f"/CN={who}", "-key", f"{who}.key", "-out", f"{who}.csr"]
        _openssl(folder, "req", "-new", *config, *request)
        sign = ["-name", "authority", "-extensions", who, "-keyfile", "ca.key", *how, *dates]
        files = ["-in", f"{who}.csr", "-out", f"{who}.crt"]
        _openssl(folder, "ca", "-batch", "-notext", *config, *sign, *files)


def _openssl(folder: Path, *argv: str) -> None:
    subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
