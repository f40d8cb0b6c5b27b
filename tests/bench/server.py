# SPDX-License-Identifier: GPL-3.0-or-later
"""A real control service behind a real nginx on loopback, and a plain PUT folder beside it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..unit.server.conftest import Machine, Service
from ..unit.server.nginx_site import free_port, make_certificates, render, unpack_nginx

_ADDRESS = "127.0.0.1"


class Nginx:
    """The web server as a process that may be restarted."""

    def __init__(self, folder: Path, port: int, inside: Sequence[str]) -> None:
        self._argv = [*inside, unpack_nginx(), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        self._listens = [*inside, "ss", "-Hltn", f"sport = :{port}"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(self._argv)
        for _ in range(200):
            if subprocess.run(self._listens, capture_output=True, check=True).stdout:
                return
            time.sleep(0.05)
        raise AssertionError("nginx does not answer; see its error.log")

    def stop(self, *signals: int) -> None:
        """End it with the signals, the next when the one before has not helped for five seconds."""
        if self._process is None:
            return
        for number in signals or (signal.SIGTERM,):
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
                return
        self._process.wait(10)


@dataclass
class Server:
    """Where to send to."""

    service: Service
    nginx: Nginx
    url: str
    put_url: str
    put_folder: Path
    ca: Path

    def session(self, verb: str, folder: Path) -> tuple[Machine, list[str]]:
        """A checked-in session, and the agent's arguments to work in it."""
        pc = self.service.machine(verb, image="pc")
        token = folder / f"token-{pc.session}"
        token.write_text(pc.token)
        return pc, ["--store", self.url, "--token-file", str(token), "--ca", str(self.ca)]


@contextmanager
def serving(folder: Path, address: str = _ADDRESS, inside: Sequence[str] = ()) -> Iterator[Server]:
    """The role's own nginx site on two free ports of this machine, for as long as it takes.

    `inside` is the command that runs another in the network namespace with that `address`.
    """
    for name in ("service", "boot", "put"):
        (folder / name).mkdir()
    # The service's workers and nginx's see the store as they do on a server.
    folder.chmod(0o755)
    cores = max(len(os.sched_getaffinity(0)), 2)
    service = Service(
        folder / "service", accel_redirect="/internal/chunks", threads=cores, check_threads=cores
    )
    make_certificates(folder, f"IP:{address}")
    api, put = free_port(_ADDRESS), free_port(_ADDRESS)
    (folder / "nginx.conf").write_text(_configuration(folder, service.store, address, api, put))
    nginx = Nginx(folder, api, inside)
    try:
        service.start()
        nginx.start()
        yield Server(
            service,
            nginx,
            f"https://{address}:{api}",
            f"https://{address}:{put}",
            folder / "put",
            folder / "ca.crt",
        )
    finally:
        nginx.stop()
        service.close()


def _configuration(folder: Path, store: Path, address: str, api: int, put: int) -> str:
    site = render(
        "etc/nginx/conf.d/slipway.conf.j2",
        image_server_address=address,
        _image_server_http_socket=str(folder / "service/http"),
        _image_server_boot_root=str(folder / "boot"),
        _image_server_tls=str(folder),
        _image_server_logs=str(folder),
        image_server_store_dir=str(store),
    )
    site = site.replace("listen 80 ", f"listen unix:{folder}/clear.sock ")
    site = re.sub(r"listen 443 ", f"listen {address}:{api} ", site)
    return (
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; user root;\n"
        "worker_processes auto;\n"
        f"events {{}} http {{ access_log off;\n"
        f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/px;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"{site}\n"
        f"server {{ listen {address}:{put} ssl; ssl_protocols TLSv1.2 TLSv1.3;\n"
        f"ssl_certificate {folder}/server.crt; ssl_certificate_key {folder}/server.key;\n"
        f"location / {{ root {folder}/put; dav_methods PUT; client_max_body_size 0; }} }} }}\n"
    )
