# SPDX-License-Identifier: GPL-3.0-or-later
"""A real page before a real service, and browsers without JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from slipway_web.__main__ import main

from ...fixtures.forks import Fork
from ..server.choosing import password_hash
from ..server.conftest import Service
from ..server.reader_beside import POSSIBLE, Beside

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = "https://server:8443"
USERS = {"vera": "viewer", "otto": "operator", "anna": "admin"}
PASSWORDS = {name: f"pass word of {name}" for name in USERS}


class _Forms(HTMLParser):
    """The forms of a page: where each goes, and what it would send."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, list[tuple[str, str]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {key: value or "" for key, value in attrs}
        if tag == "form":
            self.found.append((said.get("method", "get"), said.get("action", ""), []))
        elif tag == "input" and said.get("type") == "hidden" and self.found:
            self.found[-1][2].append((said["name"], said["value"]))


def forms(answer: httpx.Response) -> list[tuple[str, str, list[tuple[str, str]]]]:
    parser = _Forms()
    parser.feed(answer.text)
    return parser.found


@dataclass
class Browser:
    """Somebody's browser; it keeps cookies, as httpx does not of what it takes for http."""

    page: Page
    address: str = "10.77.0.9"
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, content: bytes = b"", **headers: str | None
    ) -> httpx.Response:
        said: dict[str, str | None] = {"Host": "server:8443", "X-Real-IP": self.address}
        if self.cookies:
            said["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        said |= {key.replace("_", "-"): value for key, value in headers.items()}
        answer = self.page.client.request(
            method,
            path,
            content=content or None,
            headers={key: value for key, value in said.items() if value is not None},
        )
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)

    def post(self, path: str, data: Any, **headers: str | None) -> httpx.Response:
        usual: dict[str, str | None] = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": ORIGIN,
            "Sec-Fetch-Site": "same-origin",
        }
        return self.ask("POST", path, urlencode(data).encode(), **(usual | headers))

    def sign_in(self, name: str, password: str | None = None, **more: str) -> httpx.Response:
        word = PASSWORDS[name] if password is None else password
        return self.post("/sign-in", {"name": name, "password": word} | more)

    def send(self, answer: httpx.Response, action: str, **typed: str) -> httpx.Response:
        """Send the form of a page that goes there, with what somebody types."""
        hidden = next(each[2] for each in forms(answer) if each[:2] == ("post", action))
        return self.post(action, [*hidden, *typed.items()])

    def key(self) -> str:
        """The key of this sign-in's forms."""
        return dict(forms(self.get("/account"))[0][2])["key"]


class Page:
    """The page's process."""

    def __init__(self, folder: Path, service: Service, **config: Any) -> None:
        self.folder = folder
        self.service = service
        (folder / "state").mkdir(parents=True)
        users = [
            {"name": name, "role": role, "password_hash": password_hash(PASSWORDS[name])}
            for name, role in USERS.items()
        ]
        self.config = {
            "service_socket": str(service.folder / "web"),
            "state_dir": str(folder / "state"),
            "users": users,
        } | config
        transport = httpx.HTTPTransport(uds=str(folder / "page"), verify=False)
        self.client = httpx.Client(transport=transport, base_url="http://server:8443", timeout=30)
        self.process: Fork | subprocess.Popen[bytes] | None = None
        # What starts it in a Python of its own, where its memory is looked at.
        self.before: tuple[str, ...] | None = None

    def start(self) -> Page:
        path = self.folder / "web.json"
        path.write_text(json.dumps(self.config))
        words = ["--config", str(path), "--socket", str(self.folder / "page")]
        if self.before is None:
            self.process = Fork(main, words, self.folder / "journal")
        else:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, "-P", "-m", "slipway_web", *words],
                env=os.environ | {"PYTHONPATH": str(ROOT / "roles/web_page/files")},
                stderr=(self.folder / "journal").open("ab"),
            )
        for _ in range(600):
            try:
                self.client.get("/sign-in")
                return self
            except httpx.TransportError:
                assert self.process.poll() is None, self.journal()
                time.sleep(0.05)
        raise AssertionError(self.journal())

    def journal(self) -> str:
        return (self.folder / "journal").read_text()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(60)

    def browser(self, name: str = "") -> Browser:
        """A browser in which somebody is signed in, or nobody."""
        made = Browser(self)
        if name:
            assert made.sign_in(name).status_code == 303
        return made

    def close(self) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One page and one service for the tests of a file."""
    folder = tmp_path_factory.mktemp("service")
    places = {"policy_dir": "policy", "media_dir": "media", "reader_socket": "reader"}
    service = Service(folder, **{key: str(folder / name) for key, name in places.items()})
    beside = Beside(service) if POSSIBLE else None
    made = Page(tmp_path_factory.mktemp("page") / "page", service.start())
    yield made.start()
    made.close()
    service.close()
    if beside is not None:
        beside.close()
