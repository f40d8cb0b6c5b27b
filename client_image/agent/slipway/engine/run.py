"""The one door to other programs: C locale, logged, signals by name, missing tools by package."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from slipway.engine.errors import ToolError

log = logging.getLogger(__name__)

PACKAGES = {
    "blkid": "util-linux",
    "btrfs": "btrfs-progs",
    "cryptsetup": "cryptsetup-bin",
    "debugreiserfs": "reiserfsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "lsblk": "util-linux",
    "ntfsresize": "ntfs-3g",
    "pvck": "lvm2",
    "resize2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "xfs_db": "xfsprogs",
    "xfs_growfs": "xfsprogs",
    "xfs_logprint": "xfsprogs",
}
_ERROR_LINES = 3


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def last_words(self) -> str:
        """The end of what it wrote to standard error, for a message."""
        lines = [line.strip() for line in self.stderr.replace("\r", "\n").splitlines()]
        return "; ".join([line for line in lines if line][-_ERROR_LINES:])


def run(
    argv: Sequence[str], ok: Sequence[int] | None = (0,), input: bytes | None = None
) -> Finished:
    """Run a program to its end. An exit code outside `ok` is a ToolError; None allows all.

    Secrets go in by `input`, its standard input: arguments are for everyone to see.
    """
    with _fed(input) as stdin, _start(argv, stdin=stdin) as process:
        stdout, stderr = process.communicate()
    result = Finished(tuple(argv), process.returncode, stdout, stderr)
    if ok is not None and result.code not in ok:
        raise ToolError(f"{shlex.join(argv)} {_ending(result.code)}: {result.last_words()}")
    return result


@contextmanager
def lines(argv: Sequence[str]) -> Generator[Iterator[str], None, None]:
    """The program's output line by line, for output that may be too long to hold."""
    with _start(argv, stderr=subprocess.DEVNULL) as process:
        if process.stdout is None:
            raise ToolError(f"{argv[0]} has no output to read")
        try:
            yield iter(process.stdout)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            code = process.wait()
    if code != 0:
        raise ToolError(f"{shlex.join(argv)} {_ending(code)}")


def head(argv: Sequence[str], size: int) -> str:
    """The first `size` characters of the output; the program is ended when it has more to say."""
    with _start(argv, stderr=subprocess.DEVNULL) as process:
        if process.stdout is None:
            raise ToolError(f"{argv[0]} has no output to read")
        text = process.stdout.read(size)
        process.kill()
    return text


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


def _start(
    argv: Sequence[str], stderr: int = subprocess.PIPE, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    log.debug("run: %s", shlex.join(argv))
    environment = {
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
        raise ToolError(
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
