# SPDX-License-Identifier: GPL-3.0-or-later
"""How progress, results and errors look: as JSON lines, or for people."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, TextIO

from slipway.engine.errors import SlipwayError, UsageError
from slipway.engine.progress import Record
from slipway.engine.result import PartitionResult, Result
from slipway.format import FormatError
from slipway.format.units import clock, size

_PIPE_INTERVAL = 5.0


class View(Protocol):
    """What a verb tells its user. Called from several threads."""

    def progress(self, record: Record) -> None:
        """How far it is."""

    def warning(self, message: str) -> None:
        """Something that does not stop it."""

    def result(self, result: Result) -> None:
        """It is done."""

    def error(self, error: SlipwayError) -> None:
        """It has failed."""


def as_slipway_error(error: Exception) -> SlipwayError:
    """Any error as one that a user can be shown."""
    if isinstance(error, SlipwayError):
        return error
    if isinstance(error, FormatError):
        return UsageError(str(error))
    return SlipwayError(f"unexpected {type(error).__name__}: {error}")


def error_json(error: SlipwayError) -> dict[str, Any]:
    """An error as `--json` prints it and as the session gets it."""
    return {
        "type": "error",
        "error": error.type,
        "message": error.message,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }


class JsonView:
    """One JSON object a line."""

    def __init__(self, out: TextIO) -> None:
        """Write to `out`, each line at once."""
        self._out = out
        self._lock = threading.Lock()

    def progress(self, record: Record) -> None:
        """A line of type progress."""
        self._line(record.to_json())

    def warning(self, message: str) -> None:
        """A line of type warning."""
        self._line({"type": "warning", "message": message})

    def result(self, result: Result) -> None:
        """The last line of a success."""
        self._line(result.to_json())

    def error(self, error: SlipwayError) -> None:
        """The last line of a failure."""
        self._line(error_json(error))

    def other(self, value: dict[str, Any]) -> None:
        """The answer of a verb that has no result record."""
        self._line(value)

    def _line(self, value: dict[str, Any]) -> None:
        with self._lock:
            self._out.write(json.dumps(value, separators=(",", ":")) + "\n")
            self._out.flush()


def progress_line(record: dict[str, Any]) -> str:
    """One line about a progress record: phase, place, percent, rate, time left."""
    total, done = record.get("total") or 0, record.get("done") or 0
    where = ":".join(filter(None, (record.get("disk"), record.get("partition"))))
    words = [f"{record.get('phase', '?'):8}", where]
    if total:
        words += [
            f"{min(100.0, 100 * done / total):5.1f}%",
            f"{size(done)} of {size(total)}",
            f"{size(record.get('rate') or 0)}/s",
            f"{clock(record.get('eta'))} left",
        ]
    elif done:
        words += [size(done), f"{size(record.get('rate') or 0)}/s"]
    words.append(str(record.get("waiting") or ""))
    return "  ".join(word for word in words if word)


class TerminalView:
    """Lines for people on `err`, the outcome on `out`."""

    def __init__(self, out: TextIO, err: TextIO, now: Callable[[], float]) -> None:
        """`now` is the clock that spaces the lines when `err` is no terminal."""
        self._out = out
        self._err = err
        self._now = now
        self._live = err.isatty()
        self._last: tuple[str, float] = ("", 0.0)
        self._width = 0

    def progress(self, record: Record) -> None:
        """One line that changes on a terminal; else a line every few seconds."""
        line = progress_line(asdict(record))
        if self._live:
            columns = os.get_terminal_size(self._err.fileno()).columns - 1
            line = line[:columns]
            self._err.write("\r" + line.ljust(self._width))
            self._width = len(line)
            self._err.flush()
        elif record.phase != self._last[0] or self._now() - self._last[1] >= _PIPE_INTERVAL:
            self._last = (record.phase, self._now())
            print(line, file=self._err, flush=True)

    def warning(self, message: str) -> None:
        """A line of its own."""
        self.end_line()
        print(f"slipway: warning: {message}", file=self._err, flush=True)

    def result(self, result: Result) -> None:
        """What was done, and what differs."""
        self.end_line()
        for line in result_lines(result):
            print(line, file=self._out, flush=True)

    def error(self, error: SlipwayError) -> None:
        """Message and remedy."""
        self.end_line()
        print(f"slipway: {error.message}", file=self._err)
        print(f"  what helps: {error.remedy}", file=self._err, flush=True)

    def end_line(self) -> None:
        """Leave the line of progress, for what is printed beside this view."""
        if self._width:
            self._err.write("\n")
            self._width = 0


def result_lines(result: Result) -> list[str]:
    """The outcome of a verb for people."""
    image = f"{result.image}@{result.version}" if result.version else result.image
    took = f"in {clock(result.seconds)}"
    if result.verb == "backup":
        return [
            f"saved {image}: {size(result.read)} read, {size(result.sent)} sent {took}",
            *_partition_lines(result, differing_only=False),
        ]
    if result.verb == "verify":
        return [f"{image} is sound: {size(result.read)} in {result.cells.total} chunks {took}"]
    if result.verb == "copy":
        if not result.changed:
            return [f"{image} is there already, with all its chunks"]
        if not result.stored:
            return [f"{result.cells.sent} of {result.cells.total} chunks of {image} are missing"]
        return [f"copied {image}: {size(result.sent)} sent, {size(result.stored)} stored {took}"]
    if not result.changed:
        return [f"the disks equal {image}: nothing to write ({took[3:]})"]
    did = f"wrote {size(result.written)} of" if result.written else "the disks differ from"
    return [f"{did} {image} {took}", *_partition_lines(result, differing_only=True)]


def degraded_lines(result: Result) -> list[str]:
    """What a user has to know about a version that lacks sectors; empty for any other."""
    if not result.degraded:
        return []
    image = f"{result.image}@{result.version}"
    places = [
        f"; {each.unreadable} bytes of {disk.disk}:{each.partition} ({each.content})"
        for disk in result.disks
        for each in disk.partitions
        if each.unreadable
    ]
    return [
        f"{image} is degraded: {result.unreadable} bytes could not be read from its source and "
        f"are zeros{''.join(places)}"
    ]


def _partition_lines(result: Result, differing_only: bool) -> list[str]:
    lines = []
    for disk in result.disks:
        for part in disk.partitions:
            if differing_only and not (part.differing_cells or part.foreign):
                continue
            line = f"  {disk.disk} {disk.device}  {part.partition}  {part.content}"
            if differing_only:
                line += f": {_difference(part)}"
            else:
                line += f" ({part.method}): {size(part.bytes_used)}"
            lines.append(line)
    return lines


def _difference(part: PartitionResult) -> str:
    said = []
    if part.differing_cells:
        said.append(f"{size(part.differs)} in {part.differing_cells} cells differ")
    if part.foreign:
        said.append(f"marks of {', '.join(part.foreign)} beside the image's data")
    return "; ".join(said)
