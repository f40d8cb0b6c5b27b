# SPDX-License-Identifier: GPL-3.0-or-later
"""An SMTP server that keeps what it is sent: STARTTLS, AUTH PLAIN, and a temper that tests set."""

from __future__ import annotations

import base64
import socketserver
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path


def certificate(folder: Path, name: str) -> Path:
    """A certificate for ``name`` that signs itself, with its key, in one file."""
    file = folder / f"{name}.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName=DNS:{name}",
        "-keyout",
        str(file),
        "-out",
        str(file.with_suffix(".crt")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + file.with_suffix(".crt").read_bytes())
    return file


@dataclass
class Post:
    """What was received, and how the server behaves."""

    tls: ssl.SSLContext | None = None
    account: tuple[str, str] | None = None
    # Answers in the place of what the verb would get.
    answers: dict[str, str] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[list[str]] = field(default_factory=list)
    # Hangs up after a mail was taken, without waiting for the end.
    abrupt: bool = False


class _Talk(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.secure, self.recipients = False, list[str]()
        self.signed_in = self.server.post.account is None
        self._say("220 post.example ESMTP")
        while line := self.rfile.readline().decode("ascii", "replace").rstrip("\r\n"):
            verb = line.split(" ")[0].upper()
            answers = self.server.post.answers
            if verb in answers:
                self._say(answers[verb])
            elif not getattr(self, f"do_{verb}", self.do_NOOP)(line):
                return

    def do_NOOP(self, _: str) -> bool:
        self._say("250 fine")
        return True

    def do_EHLO(self, _: str) -> bool:
        post = self.server.post
        offers = ["post.example"] + (["STARTTLS"] if post.tls and not self.secure else [])
        offers += ["AUTH PLAIN"] if post.account else []
        for at, each in enumerate(offers):
            self._say(f"250{' ' if at == len(offers) - 1 else '-'}{each}")
        return True

    def do_STARTTLS(self, _: str) -> bool:
        assert self.server.post.tls is not None
        self._say("220 go on")
        try:
            self.connection = self.server.post.tls.wrap_socket(self.connection, server_side=True)
        except OSError:
            return False
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.secure = True
        return True

    def do_AUTH(self, line: str) -> bool:
        sent = line.split(" ")[2]
        said = base64.b64decode(sent).decode().split("\0")[1:]
        self.signed_in = tuple(said) == self.server.post.account
        # As some servers do: what came is said again.
        self._say("235 welcome" if self.signed_in else f"535 no {sent} {said[1]}")
        return True

    def do_MAIL(self, _: str) -> bool:
        self._say("250 fine" if self.signed_in else "530 sign in first")
        return True

    def do_RCPT(self, line: str) -> bool:
        self.recipients.append(line)
        return self.do_NOOP(line)

    def do_DATA(self, line: str) -> bool:
        self._say("354 go on")
        self._take(self.recipients)
        self.recipients = []
        self.do_NOOP(line)
        return not self.server.post.abrupt

    def do_QUIT(self, _: str) -> bool:
        self._say("221 bye")
        return False

    def _take(self, recipients: list[str]) -> None:
        data = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            data += line.removeprefix(b".") if line.startswith(b"..") else line
        post = self.server.post
        post.envelopes.append(recipients)
        post.mails.append(message_from_bytes(data, _class=EmailMessage, policy=policy.default))

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()


class MailServer(socketserver.ThreadingTCPServer):
    """Listens on loopback until it is closed."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, post: Post, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Talk)
        self.post = post
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()
