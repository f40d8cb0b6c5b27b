# SPDX-License-Identifier: GPL-3.0-or-later
"""People are told: by mail through an SMTP server, by webhook, once, whoever is down meanwhile."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from slipway_teller.sending import NotToldError, letter, send
from slipway_teller.service import ServiceDownError
from slipway_teller.settings import SettingsError, Sink, parse
from slipway_teller.telling import Telling

from ..server.conftest import ROOT, Service, cell
from ..server.test_prune import made
from .mail_server import MailServer, Post, certificate

SECRET = "Tr0ub4dor-and-3"
EVENT: dict[str, Any] = {
    "number": 7,
    "at": "2026-11-29T22:00:00Z",
    "kind": "window_done",
    "quiet": False,
    "subject": "nightly, 2026-11-29: 37 done, 3 failed",
    "lines": ["failed: pc1, pc2", "    Ä"],
}
MAIL: dict[str, Any] = {
    "host": "127.0.0.1",
    "to": ["it@example.org"],
    "from": "slipway@example.org",
    "security": "none",
}


def sink(**said: Any) -> Sink:
    [found] = parse({"it": said})
    return found


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def post() -> Iterator[MailServer]:
    server = MailServer(Post())
    yield server
    server.close()


FAULTS: dict[str, tuple[Any, str]] = {
    "no way": ({}, "must have one of mail, webhook, alive"),
    "two ways": ({"mail": MAIL, "webhook": {"url": "https://h/"}}, "must have one of"),
    "a key that is none": ({"mail": MAIL | {"pasword": SECRET}}, "policy_tell.it.mail.pasword"),
    "no host": ({"mail": {k: v for k, v in MAIL.items() if k != "host"}}, "mail.host: must be"),
    "two addresses in one": ({"mail": MAIL | {"to": ["a@b, c@d"]}}, "mail.to: must be"),
    "a header in an address": ({"mail": MAIL | {"from": "a@b\nBcc: c@d"}}, "mail.from: must be"),
    "a port that is none": ({"mail": MAIL | {"port": 70000}}, "mail.port"),
    "a security that is none": ({"mail": MAIL | {"security": "ssl"}}, "mail.security"),
    "a password in clear": ({"mail": MAIL | {"user": "u", "password": SECRET}}, "in clear"),
    "a token in clear": ({"webhook": {"url": "http://h/", "token": SECRET}}, "in clear"),
    "a file": ({"webhook": {"url": "file:///etc/shadow"}}, "a URL of http or https"),
    "dbus": ({"webhook": {"url": "dbus://x"}}, "a URL of http or https"),
    "a password in a URL": ({"webhook": {"url": f"https://u:{SECRET}@h/"}}, "without a password"),
    "a kind that is none": ({"mail": MAIL, "of": ["window_don"]}, "policy_tell.it.of"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_can_not_be_meant_is_refused_without_its_secrets(case: str) -> None:
    said, words = FAULTS[case]
    with pytest.raises(SettingsError) as refused:
        parse({"it": said})
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    said = {f"n{number}": body for number, (body, _) in enumerate(FAULTS.values())}
    with pytest.raises(SettingsError) as refused:
        parse(said | {"Not A Name": {}})
    for number in range(len(FAULTS)):
        assert f"policy_tell.n{number}" in str(refused.value)
    settings = tmp_path / "tell.json"
    settings.write_text(json.dumps(said))
    checked = subprocess.run(
        [sys.executable, "-m", "slipway_teller", "--check-config", "--config", str(settings)],
        cwd=ROOT / "roles/policy/files",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, SECRET in checked.stderr) == (2, False)
    assert "policy_tell.n0" in checked.stderr


def test_a_mail_arrives_as_it_was_meant(post: MailServer) -> None:
    told = sink(mail=MAIL | {"port": post.port, "to": ["it@example.org", "boss@example.org"]})
    send(told.by, "10.0.0.1", EVENT)
    [mail] = post.post.mails
    assert mail["subject"] == "[Slipway 10.0.0.1] nightly, 2026-11-29: 37 done, 3 failed"
    assert (mail["to"], mail["from"]) == ("it@example.org, boss@example.org", "slipway@example.org")
    assert mail["auto-submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [EVENT["subject"], "", *EVENT["lines"]]
    assert len(post.post.envelopes[0]) == 2
    # Sent twice, it is the same mail.
    assert letter(told.by, "10.0.0.1", EVENT)["message-id"] == mail["message-id"]  # type: ignore[arg-type]


def test_a_mail_that_was_taken_is_sent_however_the_line_ends(post: MailServer) -> None:
    post.post.abrupt = True
    send(sink(mail=MAIL | {"port": post.port}).by, "s", EVENT)
    assert len(post.post.mails) == 1


def test_a_password_goes_through_tls_to_a_server_that_is_whom_it_says(tmp_path: Path) -> None:
    good = certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(good)
    server = MailServer(Post(tls=context, account=("slipway", SECRET)))
    try:
        wanted = MAIL | {
            "host": "localhost",
            "port": server.port,
            "security": "starttls",
            "user": "slipway",
            "password": SECRET,
        }
        send(sink(mail=wanted | {"ca": str(good.with_suffix(".crt"))}).by, "s", EVENT)
        assert len(server.post.mails) == 1
        for changes in (
            {},  # nobody vouches for it
            {"ca": str(good.with_suffix(".crt")), "host": "127.0.0.1"},  # it is another's
        ):
            with pytest.raises(NotToldError, match="CERTIFICATE_VERIFY_FAILED"):
                send(sink(mail=wanted | changes).by, "s", EVENT)
        wrong = wanted | {"ca": str(good.with_suffix(".crt")), "password": SECRET + "x"}
        with pytest.raises(NotToldError, match="535") as refused:
            send(sink(mail=wrong).by, "s", EVENT)
        # The server said it again, in clear and encoded.
        assert SECRET not in str(refused.value)
        assert "c2xpcHdheQ" not in str(refused.value)
        # One that offers no TLS gets nothing.
        server.post.tls = None
        with pytest.raises(NotToldError):
            send(sink(mail=wanted | {"ca": str(good.with_suffix(".crt"))}).by, "s", EVENT)
        assert len(server.post.mails) == 1
    finally:
        server.close()


class Web:
    """A web server that keeps what is posted."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, str | None, Any]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._take(None)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self._take(json.loads(self.rfile.read(length)))

            def _take(self, body: Any) -> None:
                outer.got.append((self.command, self.path, self.headers["Authorization"], body))
                self.send_response(outer.status)
                self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def test_a_webhook_gets_json_and_is_not_followed_elsewhere(web: Web) -> None:
    url = f"http://127.0.0.1:{web.port}/hook?key=1"
    send(sink(webhook={"url": url}).by, "s", EVENT)
    assert web.got == [("POST", "/hook?key=1", None, {"server": "s", **EVENT})]
    web.status = 302
    with pytest.raises(NotToldError, match="it answered 302"):
        send(sink(webhook={"url": url}).by, "s", EVENT)
    assert len(web.got) == 2
    web.status = 200
    send(sink(alive={"url": url}).by, "s", EVENT)
    assert web.got[-1] == ("GET", "/hook?key=1", None, None)


class Events:
    """The service's side, in memory, and as moody as it is told to be."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = list(events)
        self.reached: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        self.down = 0

    def name(self, sinks: list[str]) -> None:
        self.reached = dict.fromkeys(sinks, 0)

    def waiting(self, sink: str) -> tuple[str, list[dict[str, Any]]]:
        return "s", [each for each in self.events if each["number"] > self.reached[sink]]

    def told(self, sink: str, number: int) -> None:
        if self.down:
            self.down -= 1
            raise ServiceDownError("it restarts")
        self.reached[sink] = number
        self.problems.pop(sink, None)

    def not_told(self, sink: str, problem: str) -> None:
        self.problems[sink] = problem


@pytest.fixture
def tell() -> Iterator[Callable[..., Telling]]:
    running: list[Telling] = []

    def begin(service: Events, said: dict[str, Any]) -> Telling:
        telling = Telling(service, parse(said), send, look_seconds=0.02, first_pause=0.05)
        threading.Thread(target=telling.run, daemon=True).start()
        running.append(telling)
        return telling

    yield begin
    for each in running:
        each.stop()


def test_a_mail_server_that_is_down_costs_nobody_else_and_gets_it_once_it_is_back(
    tell: Callable[..., Telling], web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    service = Events(EVENT, EVENT | {"number": 8, "subject": "second", "quiet": True})
    url = f"http://127.0.0.1:{web.port}"
    said = {
        "mail": {"mail": MAIL | {"port": port}},
        "hook": {"webhook": {"url": f"{url}/"}, "of": ["window_done"]},
        "life": {"alive": {"url": f"{url}/alive"}},
        "other": {"webhook": {"url": f"{url}/never"}, "of": ["stale"]},
    }
    with caplog.at_level(logging.INFO):
        tell(service, said)
        wait_for(lambda: service.reached.get("other") == 8 and service.reached["life"] == 8)
        wait_for(lambda: service.reached["hook"] == 8)
        assert sorted(each[1] for each in web.got) == ["/", "/alive", "/alive"]
        wait_for(lambda: "mail" in service.problems)
        assert service.reached["mail"] == 0
        server = MailServer(Post(), port)
        try:
            wait_for(lambda: service.reached["mail"] == 8)
            time.sleep(0.3)
            assert [each["subject"][-8:] for each in server.post.mails] == ["3 failed"]
        finally:
            server.close()
    assert "mail" not in service.problems


def test_nights_of_a_mail_server_that_is_down_arrive_in_their_order_and_once(
    tell: Callable[..., Telling],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nights = [EVENT | {"number": number, "subject": f"night {number}"} for number in range(1, 5)]
    service = Events(nights[0])
    said = {"mail": {"mail": MAIL | {"port": port}}}
    for night in nights[1:]:
        # Each night brings one more, and who tells is started anew.
        service.problems.clear()
        telling = tell(service, said)
        wait_for(lambda: "mail" in service.problems)
        telling.stop()
        service.events.append(night)
    server = MailServer(Post(), port)
    try:
        tell(service, said)
        wait_for(lambda: service.reached["mail"] == 4)
        time.sleep(0.3)
        subjects = [str(each["subject"]) for each in server.post.mails]
        assert [each.split()[-1] for each in subjects] == ["1", "2", "3", "4"]
    finally:
        server.close()


def test_a_service_that_restarts_at_that_moment_makes_no_second_mail(
    tell: Callable[..., Telling], post: MailServer
) -> None:
    service = Events(EVENT)
    service.down = 3
    tell(service, {"mail": {"mail": MAIL | {"port": post.port}}})
    wait_for(lambda: service.reached.get("mail") == 7)
    time.sleep(0.2)
    assert len(post.post.mails) == 1


def test_a_bad_chunk_becomes_a_mail_and_nobody_can_read_the_password_anywhere(
    tmp_path: Path,
) -> None:
    good = certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(good)
    server = MailServer(Post(tls=context, account=("slipway", "another one")))
    folder = tmp_path / "service"
    folder.mkdir()
    service = Service(folder, tell_seconds=1).start()
    said = MAIL | {
        "host": "localhost",
        "port": server.port,
        "user": "slipway",
        "password": SECRET,
        "security": "starttls",
        "ca": str(good.with_suffix(".crt")),
    }
    settings = tmp_path / "tell.json"
    settings.write_text(json.dumps({"it": {"mail": said}}))
    journal = tmp_path / "journal"
    with (
        journal.open("w") as output,
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "slipway_teller",
                "--config",
                str(settings),
                "--socket",
                str(service.folder / "teller"),
                "--look-seconds",
                "0.1",
            ],
            cwd=ROOT / "roles/policy/files",
            stdout=output,
            stderr=output,
        ) as teller,
    ):
        try:
            wait_for(lambda: service.teller.get("/v1/sinks/it").status_code == 200)
            content = cell("told by mail")
            made(service, "pc1", "20260101T000000Z", content)
            service.chunk_path(content).write_bytes(b"rotten")
            service.admin.post("/v1/scrub", json={})
            # The password is not the right one, which is said; and not what it is.
            warnings = wait_for(
                lambda: [
                    each
                    for each in service.admin.get("/v1/status").json()["warnings"]
                    if "it of policy_tell" in each
                ]
            )
            assert "535" in warnings[0]
            server.post.account = ("slipway", SECRET)
            [mail] = wait_for(lambda: server.post.mails)
            assert mail["subject"].endswith("the store is damaged")
            assert "pc1@20260101T000000Z names a bad chunk" in mail.get_content()
            wait_for(lambda: not service.teller.get("/v1/sinks/it").json()["events"])
            time.sleep(0.5)
            assert len(server.post.mails) == 1
        finally:
            teller.terminate()
            audit = json.dumps(service.admin.get("/v1/audit").json())
            service.close()
            server.close()
    assert teller.returncode == 0
    texts = [journal.read_text(), *warnings, audit]
    texts += [
        path.read_bytes().decode("latin-1") for path in service.state.rglob("*") if path.is_file()
    ]
    assert not any(SECRET in text for text in texts)
    assert "535" in texts[0]
