# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server said, once it is certain that it said all of it."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

_PIECE = 64 << 10
_MAX_ANSWER = 512 << 20
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+)")


class OddAnswer(http.client.HTTPException):
    """An answer that is cut short, or no answer of this server: nothing may be read from it."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes
    time: float | None = None
    """The server's clock when it answered, seconds since 1970; None when it did not say."""

    @property
    def ok(self) -> bool:
        """Whether the request was fulfilled."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The body as an object. OddAnswer when it is none: a key is missing only in an object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise OddAnswer(f"it answered {self.status} with something else than JSON")
        return value

    def refusal(self) -> dict[str, Any]:
        """Why the request was refused. OddAnswer when these are not the image server's words.

        A proxy's page, or nginx's own before it knows its site, says nothing about chunks or
        sessions, whatever its status.
        """
        reply = self.json()
        if not all(isinstance(reply.get(key), str) for key in ("error", "message")):
            raise OddAnswer(f"it answered {self.status} without a reason")
        return reply


class Refused(Exception):
    """The server said no, in its own words."""

    def __init__(self, answer: Answer) -> None:
        """`answer` is a proven refusal."""
        super().__init__(answer.status)
        self.status = answer.status
        self.reply = answer.refusal()


class Part:
    """What is here of a body that may come in several answers, each from where the last broke."""

    def __init__(self) -> None:
        """Nothing is here."""
        self._held = bytearray()
        self._most = 0

    @property
    def headers(self) -> dict[str, str]:
        """What asks for the rest."""
        return {"Range": f"bytes={len(self._held)}-"} if self._held else {}

    def take(self, response: http.client.HTTPResponse, moved: Callable[[], None]) -> Answer:
        """What is here with this answer behind it; OddAnswer keeps the part that came.

        `moved` is called when there is more of the body than ever before.
        """

        def came() -> None:
            if len(self._held) > self._most:
                self._most = len(self._held)
                moved()

        if response.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            self._held.clear()
            return whole(response)
        if response.status == http.client.OK:
            self._held.clear()
            return whole(response, self._held, came)
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != len(self._held):
            self._held.clear()
            raise OddAnswer("it sent another part than it was asked for")
        answer = whole(response, self._held, came)
        if len(self._held) != int(found[2]):
            raise OddAnswer(f"its answer ended after {len(self._held)} of {found[2]} bytes")
        return Answer(http.client.OK, answer.body, answer.time)


def whole(
    response: http.client.HTTPResponse,
    held: bytearray | None = None,
    came: Callable[[], None] = lambda: None,
) -> Answer:
    """Read all that was promised, behind what is `held` already; OddAnswer when less comes.

    http.client says nothing when a body ends early, as long as it is read in pieces.
    """
    held = bytearray() if held is None else held
    if response.length is None and not response.chunked:
        # Its end would be the connection's, and a broken one looks the same.
        raise OddAnswer(f"it answered {response.status} without saying how long its answer is")
    while piece := response.read(_PIECE):
        held += piece
        if len(held) > _MAX_ANSWER:
            raise OddAnswer(f"its answer is longer than {_MAX_ANSWER} bytes")
        came()
    if response.length:
        promised = len(held) + response.length
        raise OddAnswer(f"its answer ended after {len(held)} of {promised} bytes")
    return Answer(response.status, bytes(held), _time(response.headers.get("Date", "")))


def _time(date: str) -> float | None:
    try:
        # The header has whole seconds: on the average half of one has passed since.
        return parsedate_to_datetime(date).timestamp() + 0.5
    except (TypeError, ValueError, OverflowError):
        return None


def text_of(reply: dict[str, Any], key: str) -> str:
    """A text that has to be there; ValueError when it is not."""
    value = reply.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"it has no {key}")
    return value
