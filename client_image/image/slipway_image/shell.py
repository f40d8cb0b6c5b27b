# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to other programs: logged, in the C locale, with the reason when they fail."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_image.errors import BuildError

# Proxies are how a closed network reaches a mirror; everything else would make builds differ.
_PASSED = ("PATH", "HOME", "http_proxy", "https_proxy", "no_proxy")
_SHOWN_LINES = 25


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the clean environment that other programs run in."""
    result = {name: os.environ[name] for name in _PASSED if name in os.environ}
    # Debian's administration tools are not on every user's path.
    result["PATH"] = result.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    return result | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"} | dict(extra or {})


def run(
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> None:
    """Run a program, its output into `log`; raise with the last lines if it fails."""
    words = [str(word) for word in argv]
    with log.open("ab") as out:
        out.write(f"\n$ {shlex.join(words)}\n".encode())
        out.flush()
        try:
            done = subprocess.run(
                words,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                input=None if stdin is None else stdin.encode(),
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(env),
                check=False,
            )
        except FileNotFoundError:
            raise BuildError(
                f"{words[0]} is not installed", f"apt-get install {words[0]}"
            ) from None
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
        raise BuildError(
            f"{describe(words[0], done.returncode)}:\n  " + "\n  ".join(tail),
            "the whole log is failed.log in the folder of the builds",
        )


def describe(program: str, code: int) -> str:
    """Say in words how a program ended."""
    if code < 0:
        return f"{program} was killed by {signal.Signals(-code).name}"
    return f"{program} failed with exit code {code}"
