# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the image server, one for each thread, kept from request to request."""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.errors import UsageError
from slipway.net.answer import Answer
from slipway.net.line import Line

_HUNG_UP = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python's ssl has no name.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
# A packet that asks for a connection is sent again after 1 and 3 seconds.
_CONNECT_TIMEOUT, _HANDSHAKE_TIMEOUT = 5.0, 30.0
# A body goes out in pieces: each may take the whole time-out, so a slow line is no dead one.
_PIECE = 64 << 10
# Whoever waits long for an answer asks now and then whether the other end is still there.
_ASK_AFTER, _ASK_EVERY, _GONE_AFTER = 15, 5, 60


@dataclass(frozen=True)
class Request:
    """What goes over the line."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float
    """Seconds without a single byte after which the connection is given up."""
    sent: Callable[[], None] = lambda: None
    """Is called for each piece of the body that goes out."""


class Connections:
    """All connections of one client."""

    def __init__(self, host: str, port: int, ca: Path) -> None:
        """`ca` is the only certificate authority to trust."""
        self._host, self._port = host, port
        self._context = _trust(ca)
        self._local = threading.local()

    def exchange(
        self,
        request: Request,
        take: Callable[[http.client.HTTPResponse], Answer],
        sending: Line | None = None,
    ) -> Answer:
        """Send the request, and what `take` makes of the response; a turn on `sending` for that.

        OSError or HTTPException when it fails anywhere.
        """
        connection = self._own()
        try:
            kept = connection.ready(request.timeout)
            try:
                began = _send(connection, request, sending)
                response = connection.getresponse()
            except _HUNG_UP:
                # The server has closed a connection that it held open for us: no fault of its own.
                if not kept or sending is not None:
                    raise
                connection.close()
                connection.ready(request.timeout)
                began = _send(connection, request, sending)
                response = connection.getresponse()
            answer = take(response)
            if sending is not None:
                sending.took(time.monotonic() - began)
            if response.will_close:
                connection.close()
            return answer
        except BaseException:
            connection.close()
            raise

    def _own(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _Connection(self._host, self._port, self._context)
        return connection


def _trust(ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # This CA signs for one server and is pinned: it decides, and no date. A PC learns the time
    # behind this handshake; until then its clock may say anything.
    context.verify_flags |= _NO_CHECK_TIME
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the CA file {ca} can't be read: {error}", "check --ca") from error
    return context


class _Connection(http.client.HTTPConnection):
    """http.client's own would give the handshake as little time as the first packet."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, _CONNECT_TIMEOUT, blocksize=_PIECE)
        self._tls = context

    def connect(self) -> None:
        super().connect()
        plain: socket.socket = self.sock
        for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _ASK_AFTER),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _ASK_EVERY),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER * 1000),
        ):
            plain.setsockopt(level, option, value)
        plain.settimeout(_HANDSHAKE_TIMEOUT)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)

    def ready(self, timeout: float) -> bool:
        """Be connected; whether the connection is one from before."""
        if self.sock is not None and _has_news(self.sock):
            # Nothing was asked: it can only be the end.
            self.close()
        kept = self.sock is not None
        if not kept:
            self.connect()
        self.sock.settimeout(timeout)
        return kept


def _send(connection: _Connection, request: Request, sending: Line | None) -> float:
    """Send it all; when that began."""
    body = None if request.body is None else _Pieces(request.body)
    if body is not None:
        body.sent = request.sent
    with nullcontext() if sending is None else sending.turn():
        began = time.monotonic()
        connection.request(request.method, request.path, body, request.headers)
    return began


class _Pieces(io.BytesIO):
    """A body that tells when a piece of it is taken."""

    sent: Callable[[], None]

    def read(self, size: int | None = -1) -> bytes:
        self.sent()
        return super().read(size)


def _has_news(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
