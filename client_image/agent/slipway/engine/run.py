"""The one door to other programs: C locale, logged, signals by name, missing tools by package."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Event, Thread, Timer
from typing import TextIO, cast

from slipway.engine.errors import Interrupted, ToolError

log = logging.getLogger(__name__)

PACKAGES = {
    "blkid": "util-linux",
    "btrfs": "btrfs-progs",
    "cryptsetup": "cryptsetup-bin",
    "debugreiserfs": "reiserfsprogs",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "lsblk": "util-linux",
    "mdadm": "mdadm",
    "ntfs-3g.probe": "ntfs-3g",
    "ntfscat": "ntfs-3g",
    "ntfscluster": "ntfs-3g",
    "ntfsinfo": "ntfs-3g",
    "ntfsresize": "ntfs-3g",
    "pvck": "lvm2",
    "resize2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "xfs_db": "xfsprogs",
    "xfs_growfs": "xfsprogs",
    "xfs_logprint": "xfsprogs",
}
_ERROR_LINES, _ERROR_LINE = 3, 200
_MOMENT = 1.0
_seconds: ContextVar[float | None] = ContextVar("seconds", default=None)


class ToolMissing(ToolError):
    """A program that the agent needs is not installed; what it would have looked at may be fine."""


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def last_words(self) -> str:
        """The end of what it wrote to standard error, and then of its output, for a message."""
        streams = (self.stderr, self.stdout)
        return _words(text.replace("\r", "\n").splitlines() for text in streams)


def _words(streams: Iterable[Sequence[str]]) -> str:
    """Some programs explain themselves on one stream, some on the other."""
    spoken = [[" ".join(line.split()) for line in stream if line.strip()] for stream in streams]
    ends = [line[:_ERROR_LINE] for stream in spoken for line in stream[-_ERROR_LINES:]]
    return "".join(char if char.isprintable() else "?" for char in "; ".join(ends))


@contextmanager
def at_most(seconds: float) -> Generator[None, None, None]:
    """Inside, a program that takes longer is killed, which is a ToolError."""
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def run(
    argv: Sequence[str], ok: Sequence[int] | None = (0,), input: bytes | None = None
) -> Finished:
    """Run a program to its end. An exit code outside `ok` is a ToolError; None allows all.

    Secrets go in by `input`, its standard input: arguments are for everyone to see.
    """
    with _fed(input) as stdin, _running(argv, stdin=stdin) as process:
        stdout, stderr = process.communicate()
    result = Finished(tuple(argv), process.returncode, stdout, stderr)
    if ok is not None and result.code not in ok:
        raise _failed(argv, result.code, result.last_words())
    return result


def _failed(argv: Sequence[str], code: int, words: str) -> ToolError:
    return ToolError(": ".join(filter(None, [f"{shlex.join(argv)} {_ending(code)}", words])))


@contextmanager
def lines(argv: Sequence[str], ok: bool = True) -> Generator[Iterator[str], None, None]:
    """The program's output line by line, for output that may be too long to hold.

    A program that fails is a ToolError, unless it need not be `ok`: then what it said has to do.
    """
    printed, said = deque[str](maxlen=_ERROR_LINES), deque[str](maxlen=_ERROR_LINES)
    with _running(argv) as process:
        output, listener = _output(process), Thread(target=said.extend, args=(process.stderr,))
        listener.start()
        try:
            yield _remembered(output, printed)
        except BaseException as error:
            # What can't be read may be all that a failing program had to say.
            with suppress(subprocess.TimeoutExpired):
                if not _stopped(error) and (code := process.wait(_MOMENT)) != 0:
                    listener.join()
                    raise _failed(argv, code, _words([list(said), list(printed)])) from error
            process.kill()
            raise
        finally:
            output.close()
            code = process.wait()
            listener.join()
    if code != 0 and ok:
        raise _failed(argv, code, _words([list(said), list(printed)]))


def _stopped(error: BaseException) -> bool:
    """Whether somebody wants the agent to end; then its programs may have been told so, too."""
    return isinstance(error, Interrupted) or not isinstance(error, Exception)


def _remembered(output: Iterable[str], last: deque[str]) -> Iterator[str]:
    for line in output:
        last.append(line)
        yield line


def head(argv: Sequence[str], size: int) -> str:
    """The first `size` characters of the output; the program is ended when it has more to say."""
    with _running(argv, stderr=subprocess.DEVNULL) as process:
        text = _output(process).read(size)
        process.kill()
    return text


def _output(process: subprocess.Popen[str]) -> TextIO:
    if process.stdout is None:
        raise ToolError(f"{process.args!r} has no output to read")
    return cast(TextIO, process.stdout)


@contextmanager
def _running(
    argv: Sequence[str], stderr: int = subprocess.PIPE, stdin: int = subprocess.DEVNULL
) -> Generator[subprocess.Popen[str], None, None]:
    """The program at work. It is killed when its time is up, and when its caller gives up."""
    seconds, late = _seconds.get(), Event()
    with _start(argv, stderr, stdin) as process:

        def end() -> None:
            late.set()
            process.kill()

        timer = Timer(seconds or 0, end)
        timer.daemon = True
        if seconds is not None:
            timer.start()
        try:
            yield process
        except BaseException as error:
            process.kill()
            if late.is_set():
                raise _too_late(argv, seconds) from error
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise _too_late(argv, seconds)


def _too_late(argv: Sequence[str], seconds: float | None) -> ToolError:
    return ToolError(f"{shlex.join(argv)} did not end within {seconds:.0f} seconds")


@contextmanager
def _fed(content: bytes | None) -> Generator[int, None, None]:
    """A standard input that holds this, in memory alone."""
    if content is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("input"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


def _start(argv: Sequence[str], stderr: int, stdin: int) -> subprocess.Popen[str]:
    log.debug("run: %s", shlex.join(argv))
    environment = {
        # mdadm sees disks through loop devices, which have no serial number.
        "IMSM_DEVNAME_AS_SERIAL": "1",
        "LC_ALL": "C",
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "TERM": "dumb",
    }
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as error:
        tool = argv[0]
        package = "partclone" if tool.startswith("partclone.") else PACKAGES.get(tool, tool)
        raise ToolMissing(
            f"the program {tool} is missing", f"install the package {package} and try again"
        ) from error
    except OSError as error:
        raise ToolError(f"{shlex.join(argv)} could not be started: {error.strerror}") from error


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
