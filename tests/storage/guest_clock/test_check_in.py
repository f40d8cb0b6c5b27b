# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC whose battery clock is years off checks in, with the environment's own kernel and agent."""

import json
import ssl
import subprocess
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from slipway.cli import place
from slipway.cli.main import main

TLS = Path("/project/tls")
HOST_KEY = Path("/etc/ssh/ssh_host_ed25519_key")
_YEAR = 365 * 86400


def server_time() -> float:
    """What a clock that is right says: the host said it at the boot of this guest."""
    words = dict(word.partition("=")[::2] for word in Path("/proc/cmdline").read_text().split())
    return float(words["guest.booted"]) + time.clock_gettime(time.CLOCK_BOOTTIME)


class _Service(BaseHTTPRequestHandler):
    """The image server, as far as a check-in needs it."""

    asked: list[dict[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.asked.append(json.loads(self.rfile.read(size)))
        brief = {"id": "0123456789abcdef", "machine": "pc1", "verb": "backup", "image": "pc1"}
        answer = json.dumps({"token": "x" * 43, "session": brief | {"version": None}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(server_time(), usegmt=True)


def battery_clock() -> float:
    return float(Path("/sys/class/rtc/rtc0/since_epoch").read_text())


def test_a_pc_whose_clock_is_years_off_checks_in_and_has_the_servers_time(tmp_path: Path) -> None:
    assert abs(time.time() - server_time()) > 10 * _YEAR, "the test's own premise"
    battery = battery_clock()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    HOST_KEY.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", HOST_KEY], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    site = {"server": "https://127.0.0.1", "ca": str(TLS / "server.crt")}
    place.SITE_FILE.parent.mkdir(parents=True, exist_ok=True)
    place.SITE_FILE.write_text(json.dumps(site))
    with ThreadingHTTPServer(("127.0.0.1", 443), _Service) as service:
        service.socket = context.wrap_socket(service.socket, server_side=True)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        assert main(["checkin", "--timeout", "60"]) == 0
        service.shutdown()
    [said] = _Service.asked
    assert (said["session"], said["ticket"]) == ("0123456789abcdef", "t" * 43)
    assert abs(time.time() - server_time()) < 5
    # The battery's clock is the owner's: it only went on.
    assert abs(battery_clock() - battery) < 120
    assert json.loads(place.SESSION_FILE.read_text())["machine"] == "pc1"
