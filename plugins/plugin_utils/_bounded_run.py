"""Running a program whose output is somebody else's word: bounded in time and in bytes."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError

_PIECE = 1 << 16
# What is left in the pipes of a program that has ended is there at once.
_LAST_SECONDS = 0.5
# How often to look whether the program has ended: a master connection that it left behind holds
# the pipe of its errors open.
_LOOK_SECONDS = 0.2


class TooLong(SlipwayError):
    """The program took too long and was killed."""


class TooMuch(SlipwayError):
    """The program said too much and was killed."""


@dataclass
class _Pipes:
    """What goes in and what has come out."""

    stdin: IO[bytes]
    left: memoryview
    limit: int
    parts: dict[str, list[bytes]] = field(default_factory=lambda: {"out": [], "err": []})
    taken: int = 0

    def take(self, name: str, piece: bytes) -> None:
        self.taken += len(piece)
        if self.taken > self.limit:
            raise TooMuch(f"its answer was longer than {self.limit} bytes", error="too_much")
        self.parts[name].append(piece)

    def said(self, name: str) -> bytes:
        return b"".join(self.parts[name])


def bounded_run(
    command: Sequence[str],
    given: bytes = b"",
    *,
    seconds: float,
    limit: int,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, bytes, bytes]:
    """Run a program and return its code, output and errors.

    Raises TooLong after `seconds`, and TooMuch when output and errors have more than `limit` bytes
    together; either way the program is dead then.
    """
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        pipes = _Pipes(cast("IO[bytes]", process.stdin), memoryview(given), limit)
        try:
            _talk(process, pipes, deadline, seconds)
        except BaseException:
            process.kill()
            raise
        return process.returncode, pipes.said("out"), pipes.said("err")


def _talk(process: subprocess.Popen[bytes], pipes: _Pipes, deadline: float, seconds: float) -> None:
    with selectors.DefaultSelector() as selector:
        for pipe, event, name in (
            (process.stdin, selectors.EVENT_WRITE, "in"),
            (process.stdout, selectors.EVENT_READ, "out"),
            (process.stderr, selectors.EVENT_READ, "err"),
        ):
            stream = cast("IO[bytes]", pipe)
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, event, name)
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise TooLong(f"it gave no answer within {seconds:.0f} seconds", error="too_long")
            _pass_on(selector, pipes, _LOOK_SECONDS)
        last = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < last and _pass_on(selector, pipes, 0):
            pass


def _pass_on(selector: selectors.BaseSelector, pipes: _Pipes, wait: float) -> bool:
    """Move what can be moved; return whether anything was."""
    moved = False
    if not selector.get_map():
        time.sleep(wait / 10)
    for key, _events in selector.select(wait) if selector.get_map() else ():
        if key.data == "in":
            moved = _give(selector, key, pipes) or moved
        elif piece := os.read(key.fd, _PIECE):
            pipes.take(key.data, piece)
            moved = True
        else:
            selector.unregister(key.fileobj)
    return moved


def _give(selector: selectors.BaseSelector, key: selectors.SelectorKey, pipes: _Pipes) -> bool:
    try:
        written = os.write(key.fd, pipes.left[:_PIECE])
    except BlockingIOError:
        return False
    except BrokenPipeError:
        # A program that reads no more is about to end, and says why itself.
        written = len(pipes.left)
    pipes.left = pipes.left[written:]
    if not pipes.left:
        selector.unregister(key.fileobj)
        pipes.stdin.close()
    return written > 0
