# SPDX-License-Identifier: GPL-3.0-or-later
"""PCs whose clock is wrong: the pinned CA decides, no date does, and then the clock is set."""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.errors import StoreUnreachable
from slipway.net import clock
from slipway.net.checkin import next_session
from slipway.net.client import Client
from slipway.net.site import Site

from ..server.nginx_site import make_certificates
from .conftest import serving

AGENT = Path(__file__).resolve().parents[3] / "client_image/agent"
TLS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
NOW = ("", "")
UNBORN = ("20700101000000Z", "20800101000000Z")
LONG_DEAD = ("19800101000000Z", "19990101000000Z")


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[ssl.SSLContext, Path]]:
    """A server's context and its CA, with these dates."""

    def make(
        dates: tuple[str, str], version: ssl.TLSVersion = TLS[1], name: str = "IP:127.0.0.1"
    ) -> tuple[ssl.SSLContext, Path]:
        folder = tmp_path / f"{dates[0]}-{name.replace(':', '')}"
        folder.mkdir()
        make_certificates(folder, name, start=dates[0], end=dates[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        return context, folder / "ca.crt"

    return make


Made = Callable[..., tuple[ssl.SSLContext, Path]]


@pytest.mark.parametrize("version", TLS)
@pytest.mark.parametrize("dates", [UNBORN, LONG_DEAD])
def test_no_date_keeps_a_pc_out(
    made: Made, dates: tuple[str, str], version: ssl.TLSVersion
) -> None:
    context, ca = made(dates, version)
    usual = ssl.create_default_context(cafile=ca)
    with serving(context, ca) as server:
        server.answer = lambda *_: (200, {})
        assert Client(server.url, ca, patience=0).request("GET", "/").status == 200
        # The certificate is one that others refuse for its dates.
        with pytest.raises(ssl.SSLCertVerificationError, match=r"not yet valid|expired"):
            usual.wrap_socket(
                socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))),
                server_hostname="127.0.0.1",
            )


@pytest.mark.parametrize("version", TLS)
@pytest.mark.parametrize("dates", [NOW, UNBORN, LONG_DEAD])
def test_all_else_is_still_looked_at(
    made: Made, dates: tuple[str, str], version: ssl.TLSVersion, certificates: Path
) -> None:
    context, ca = made(dates, version)
    with serving(context, ca) as server:
        for wrong_ca in (certificates / "good.crt", certificates / "other.crt"):
            with pytest.raises(StoreUnreachable, match="pinned CA") as error:
                Client(server.url, wrong_ca, patience=0).request("GET", "/")
            assert "clock" not in error.value.remedy
    context, ca = made(dates, version, "DNS:somebody-else")
    with serving(context, ca) as server:
        with pytest.raises(StoreUnreachable, match="IP address mismatch"):
            Client(server.url, ca, patience=0).request("GET", "/")
        assert server.asked == []


@pytest.mark.parametrize("today", ["1980-01-02 00:00:00", "2026-01-01 00:00:00", "2079-12-31"])
def test_an_agent_of_another_time(made: Made, today: str, tmp_path: Path) -> None:
    """A whole process whose clock is wrong, and a certificate of today."""
    context, ca = made(NOW)
    (tmp_path / "token").write_text("T")
    with serving(context, ca) as server:
        server.answer = lambda *_: (200, {"images": []})
        words = ["list", "--store", server.url, "--ca", ca, "--token-file", tmp_path / "token"]
        done = subprocess.run(
            ["faketime", today, sys.executable, "-m", "slipway", *map(str, words), "--json"],
            env=os.environ | {"PYTHONPATH": str(AGENT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["images"] == []


class WrongClock:
    """A system's clock; `may` says whether it can be set."""

    def __init__(self, off: float, may: bool = True) -> None:
        self.off, self.may = off, may
        self.said: list[str] = []

    def follow(self, now: float) -> None:
        clock.follow(now, self.said.append, lambda: time.time() + self.off, self._write)

    def _write(self, now: float) -> None:
        if not self.may:
            raise PermissionError(1, "Operation not permitted")
        self.off = now - time.time()


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (-18090.0, "5 h 1 min behind"),
        (-90.0, "1 min "),
        (90.0, "1 min"),
        (6205.5 * 86400, "6205 d 1"),
    ],
)
def test_the_clock_is_set_from_the_servers_answer(server: Any, off: float, words: str) -> None:
    wrong = WrongClock(off)
    server.answer = lambda *_: (200, {})
    client = Client(server.url, server.ca, patience=0, set_clock=wrong.follow)
    client.request("GET", "/")
    assert abs(wrong.off) < 1.5
    assert words in wrong.said[0]
    client.request("GET", "/")
    assert len(wrong.said) == 1, "a clock that is right is left alone"


def test_a_refusal_tells_the_time_too_a_stranger_does_not(server: Any, certificates: Path) -> None:
    seen: list[int] = []
    answers: list[tuple[int, Any]] = [(200, b"no JSON"), (404, b"<html>"), (503, {}), (409, {})]
    server.answer = lambda *_: answers.pop(0)
    client = Client(
        server.url, server.ca, "", 9, lambda pause: None, lambda now: seen.append(len(answers))
    )
    client.request("GET", "/", proof=lambda answer: answer.json())
    assert seen == [0]
    stranger = Client(
        server.url, certificates / "other.crt", patience=0, set_clock=lambda now: seen.append(9)
    )
    with pytest.raises(StoreUnreachable):
        stranger.request("GET", "/")
    assert seen == [0]


def test_a_clock_that_can_not_be_set_stops_nothing(server: Any) -> None:
    wrong = WrongClock(3600.0, may=False)
    server.answer = lambda *_: (200, {})
    Client(server.url, server.ca, patience=0, set_clock=wrong.follow).request("GET", "/")
    assert "can't be set" in wrong.said[0]


def test_whoever_talks_for_the_site_tells_its_clock(server: Any, tmp_path: Path) -> None:
    wrong = WrongClock(3600.0)
    server.answer = lambda *_: (200, {"session": "s2"})
    site = Site(server.url, server.ca, wrong.follow)
    (tmp_path / "stay").touch()
    (tmp_path / "etc/ssh").mkdir(parents=True)
    (tmp_path / "etc/ssh/ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAC3 root@pc\n")
    assert next_session(site, tmp_path / "stay", lambda text: None, "n" * 22, tmp_path) == "s2"
    assert abs(wrong.off) < 1.5
