# SPDX-License-Identifier: GPL-3.0-or-later
"""The program beside the service that looks into images, asked over its socket.

It has the rights and the tools for that, the service has neither. Whoever gives up waiting hangs
up, and what was begun ends there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..base.errors import ServiceError

_LONGEST_LINE = 64 << 20
Words = dict[str, Any]


class Reader:
    """Belongs to the event loop; each question has a connection of its own."""

    def __init__(self, socket: Path | None) -> None:
        """``socket`` None: this server has no such program."""
        self._socket = socket

    async def ask(
        self, verb: str, told: Callable[[Words], None] = lambda _: None, **said: Any
    ) -> Words:
        """What is answered in the end; ``told`` hears what comes before.

        ServiceError ``not_readable`` with its own words, ``reader_down``, or ``no_reader``.
        """
        if self._socket is None:
            raise ServiceError("no_reader", "This server has nothing that looks into images.")
        try:
            lines, writer = await asyncio.open_unix_connection(
                str(self._socket), limit=_LONGEST_LINE
            )
        except OSError as error:
            raise ServiceError(
                "reader_down", "What looks into images does not answer on this server."
            ) from error
        try:
            writer.write(json.dumps({"verb": verb} | said).encode("ascii") + b"\n")
            await writer.drain()
            return await _answer(lines, told)
        except (OSError, ValueError) as error:
            raise ServiceError("reader_down", "What looks into images broke off.") from error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _answer(lines: asyncio.StreamReader, told: Callable[[Words], None]) -> Words:
    while text := await lines.readline():
        said = json.loads(text)
        if "error" in said:
            raise ServiceError(
                "not_readable", f"{said['error']}.", f"{said['remedy']}." if said["remedy"] else ""
            )
        if "done" in said:
            return dict(said["done"])
        told(said)
    raise ServiceError("reader_down", "What looks into images ended without a word.")
