# SPDX-License-Identifier: GPL-3.0-or-later
"""One request of the control service, on a socket: a line of JSON in, lines of JSON out.

The verbs are a closed list. What reads an image is the same program that playbooks run, with its
own sandbox. When the service hangs up, what was begun ends, and what it has made is removed.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slipway.engine.errors import SlipwayError, UsageError

_MOST_WORDS = 64 << 10
_PATIENCE = 10.0
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 1.0
_ID = re.compile("[0-9a-f]{16}")
Words = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where images are, and where what is taken out of them is put."""

    store: Path
    spool: Path
    leave: int
    """Bytes that stay free."""


class HungUp(Exception):
    """Nobody waits for it any more."""


def answer(line: socket.socket, place: Place) -> None:
    """Read a request, do it, say how it went."""
    line.settimeout(_PATIENCE)
    try:
        said = _request(line)
        verb = _VERBS.get(str(said.get("verb")))
        if verb is None:
            raise UsageError("there is no such verb", "this is for the control service")
        _say(line, {"done": verb(line, place, said)})
    except SlipwayError as error:
        _say(line, {"error": error.message, "remedy": error.remedy})
    except (HungUp, OSError):
        return


def _request(line: socket.socket) -> Words:
    text = b""
    while not text.endswith(b"\n"):
        if not (part := line.recv(_MOST_WORDS)):
            raise HungUp
        text += part
        if len(text) > _MOST_WORDS:
            raise UsageError("the request is too long", "say less")
    try:
        said = json.loads(text)
    except ValueError as error:
        raise UsageError("the request is no JSON", "this is for the control service") from error
    if not isinstance(said, dict):
        raise UsageError("the request is no object", "this is for the control service")
    return said


def _say(line: socket.socket, words: Words) -> None:
    with suppress(OSError):
        line.sendall(json.dumps(words).encode("ascii") + b"\n")


def _word(said: Words, key: str) -> str:
    value = said.get(key)
    if not isinstance(value, str) or "\0" in value:
        raise UsageError(f"{key} is no text", "this is for the control service")
    return value


def _look(line: socket.socket, place: Place, said: Words) -> Words:
    """List a folder, or say what a file is."""
    return _read(line, ["files", *_where(place, said)])


def _fetch(line: socket.socket, place: Place, said: Words) -> Words:
    """Get a file out of an image."""
    with _Folder(place, said) as folder:
        save = [f"--save={folder.path / 'data'}", f"--leave={place.leave}"]
        found = _read(line, ["files", *_where(place, said), *save], folder.written)
        if found["kind"] != "file":
            raise UsageError(f"{found['path']} is no file", "name one, not a folder")
        return folder.handed_over("data") | {"called": found["name"]}


def _export(line: socket.socket, place: Place, said: Words) -> Words:
    """Make a file of a disk."""
    with _Folder(place, said) as folder:
        words = ["export", *_image(place, said), f"--to={folder.path}", f"--leave={place.leave}"]
        words += [f"--disk={_word(said, 'disk')}", f"--format={_word(said, 'format')}"]
        words += ["--allow-degraded"] if said.get("allow_degraded") is True else []
        planned = _read(line, [*words, "--check"])
        _say(line, {"total": planned["needs"]})
        made = Path(_read(line, words, folder.written)["path"])
        return folder.handed_over(made.name) | {"called": made.name}


def _drop(_: socket.socket, place: Place, said: Words) -> Words:
    """Remove what was made for these."""
    for name in _ids(said):
        shutil.rmtree(place.spool / name, ignore_errors=True)
    return {}


def _keep(_: socket.socket, place: Place, said: Words) -> Words:
    """Remove what was made for others than these."""
    kept = _ids(said)
    for path in place.spool.iterdir():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
    return {}


_VERBS: dict[str, Callable[[socket.socket, Place, Words], Words]] = {
    "look": _look,
    "fetch": _fetch,
    "export": _export,
    "drop": _drop,
    "keep": _keep,
}


def _ids(said: Words) -> list[str]:
    ids = said.get("ids")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise UsageError("ids is no list of text", "this is for the control service")
    if not all(map(_ID.fullmatch, ids)):
        raise UsageError("an id is none", "this is for the control service")
    return ids


def _image(place: Place, said: Words) -> list[str]:
    return [f"--store={place.store}", f"--image={_word(said, 'image')}"]


def _where(place: Place, said: Words) -> list[str]:
    partition, path = _word(said, "partition"), _word(said, "path")
    return [*_image(place, said), f"--partition={partition}", f"--path={path}"]


class _Folder:
    """A new folder of the spool; it goes again unless what is in it was handed over."""

    def __init__(self, place: Place, said: Words) -> None:
        [name] = _ids({"ids": [said.get("id")]})
        self.path = place.spool / name
        self._group = place.spool.stat().st_gid
        self._kept = False

    def __enter__(self) -> _Folder:
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            shutil.rmtree(self.path, ignore_errors=True)

    def written(self) -> int:
        """Bytes on the disk until now."""
        found = 0
        for path in self.path.rglob("*"):
            with suppress(OSError):
                found += path.lstat().st_blocks * 512
        return found

    def handed_over(self, name: str) -> Words:
        """Let the web server read the file, and nobody write it."""
        for path, mode in ((self.path / name, 0o640), (self.path, 0o750)):
            os.chown(path, -1, self._group)
            path.chmod(mode)
        self._kept = True
        return {"file": name, "size": (self.path / name).stat().st_size}


def _read(line: socket.socket, words: list[str], written: Callable[[], int] | None = None) -> Words:
    """Run the program that reads images; its answer, or what it refuses."""
    argv = [sys.executable, "-P", "-m", "slipway_export", *words, "--json-errors"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said)
        try:
            _wait(line, process, written)
        finally:
            # The first process of its namespaces takes all that is in them along.
            process.kill()
            process.wait()
        return _answer(said, process.returncode)


def _wait(
    line: socket.socket, process: subprocess.Popen[bytes], written: Callable[[], int] | None
) -> None:
    told = time.monotonic()
    while process.poll() is None:
        _refuse_silence(line)
        if written is not None and time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            _say(line, {"written": written()})
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)


def _refuse_silence(line: socket.socket) -> None:
    """HungUp once the other end is gone: it has nothing more to say."""
    if select.select([line], [], [], 0)[0]:
        raise HungUp


def _answer(said: IO[bytes], code: int) -> Words:
    said.seek(0)
    try:
        found = json.loads(said.read())
    except ValueError:
        raise SlipwayError(
            f"what reads images ended with code {code}",
            "read the journal of slipway-reader on the image server",
        ) from None
    if "error" in found:
        raise SlipwayError(str(found["error"]), str(found["remedy"]))
    return dict(found)
