# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of versions, as people browse them: read beside the service, and kept for a while.

A version never changes, so what was read once is true. Whoever asks waits a little; what takes
longer goes on without him, and is there when he asks again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from typing import Any

from ..base.errors import ServiceError
from .reader import Reader

# Each starts programs of its own.
_AT_ONCE = 3
_LONGEST_SECONDS = 300.0
_KEEP_BYTES, _KEEP = 32 << 20, 200
# A refusal may pass: a disk that was full, a program that was updated.
_REFUSED_SECONDS = 30.0
Key = tuple[str, str, str]


class Browsing:
    """Belongs to the event loop."""

    def __init__(self, reader: Reader, patience: float = 4.0) -> None:
        """``patience``: how long one who asks waits, in seconds."""
        self._reader = reader
        self._patience = patience
        self._known: OrderedDict[Key, str] = OrderedDict()
        self._refused: dict[Key, tuple[float, ServiceError]] = {}
        self._under_way: dict[Key, asyncio.Task[None]] = {}

    async def look(self, reference: str, partition: str, path: str) -> str | None:
        """What is there, as JSON; None: it is still being read. ServiceError: it can't be."""
        key = reference, partition, path
        if key not in self._known and key not in self._lately_refused():
            await asyncio.wait([self._begun(key)], timeout=self._patience)
        if key in self._refused:
            raise self._refused[key][1]
        return self._known.get(key)

    async def stop(self) -> None:
        """Hang up on all that is being read."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _lately_refused(self) -> dict[Key, tuple[float, ServiceError]]:
        since = time.monotonic() - _REFUSED_SECONDS
        self._refused = {key: each for key, each in self._refused.items() if each[0] > since}
        return self._refused

    def _begun(self, key: Key) -> asyncio.Task[None]:
        if (found := self._under_way.get(key)) is not None:
            return found
        if len(self._under_way) >= _AT_ONCE:
            raise ServiceError("too_many", f"{_AT_ONCE} folders of images are being read.")
        task = self._under_way[key] = asyncio.get_running_loop().create_task(self._read(key))
        task.add_done_callback(lambda _: self._under_way.pop(key))
        return task

    async def _read(self, key: Key) -> None:
        reference, partition, path = key
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                found = await self._reader.ask(
                    "look", image=reference, partition=partition, path=path
                )
            self._keep(key, json.dumps(_shown(found)))
        except TimeoutError:
            self._refuse(key, ServiceError("not_readable", f"{path} takes too long to be read."))
        except ServiceError as error:
            self._refuse(key, error)

    def _refuse(self, key: Key, error: ServiceError) -> None:
        self._refused[key] = time.monotonic(), error

    def _keep(self, key: Key, text: str) -> None:
        self._known[key] = text
        while len(self._known) > 1 and (
            len(self._known) > _KEEP or sum(map(len, self._known.values())) > _KEEP_BYTES
        ):
            self._known.popitem(last=False)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    kept = ("kind", "partition", "path", "partitions", "entries", "name", "size", "modified")
    usual: dict[str, Any] = {"partition": "", "partitions": [], "entries": [], "name": "",
                             "size": None, "modified": ""}  # fmt: skip
    return usual | {key: found[key] for key in kept if key in found} | {"state": "read"}
