# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on a unix socket, and modules run as Ansible runs them."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from .pc import Pc, Site, make_key, running_pc


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def run(name: str, /, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        module = import_module(f"ansible_collections.slipway.imaging.plugins.modules.{name}")
        with (
            patch_module_args({**options, "_ansible_check_mode": check_mode}),
            pytest.raises(SystemExit),
        ):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


@dataclass
class FakeService:
    """Answers by method and path; what was asked is kept."""

    path: str
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, path] = (status, body)


class _Handler(BaseHTTPRequestHandler):
    service: FakeService

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.service.asked.append((self.command, self.path, body))
        found = self.service.answers.get((self.command, self.path.partition("?")[0]))
        if "wait=" in self.path:
            time.sleep(0.2)  # The service holds such a question; without that, who asks would spin.
        status, answer = found or (404, {"error": "x", "message": "nothing here", "remedy": "none"})
        answer = answer() if callable(answer) else answer
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if text:
            self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _any

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    fake = FakeService(str(tmp_path / "admin.sock"))
    handler = type("Handler", (_Handler,), {"service": fake})
    with socketserver.ThreadingUnixStreamServer(fake.path, handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


def session(**changes: Any) -> dict[str, Any]:
    """A session as the service shows it."""
    return {
        "id": "0123456789abcdef",
        "machine": "pc1",
        "state": "requested",
        "outcome": None,
        "image": "pc1",
        "version": None,
        "boot_script_served": 0,
        "refused_checkins": 0,
        "image_check": None,
        **changes,
    }


@pytest.fixture(name="session")
def session_fixture() -> Callable[..., dict[str, Any]]:
    return session


@pytest.fixture
def site(tmp_path: Path, service: Any) -> Site:
    """An inventory with one machine, for real runs of Ansible."""
    made = Site(tmp_path / "site", make_key(tmp_path / "login"), service)
    made.describe()
    return made


@pytest.fixture
def pc(tmp_path: Path, site: Site) -> Iterator[Pc]:
    """That machine: a real sshd."""
    with running_pc(tmp_path / "pc", site.login) as made:
        site.serve(made)
        yield made
