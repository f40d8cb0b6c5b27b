# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: tagged, in the C locale, with errors that can be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway_lab.config import Config
from slipway_lab.errors import LabError

# Every process that the lab starts carries this in its environment, so that taking the
# lab down finds all of them, whoever was killed in between.
TAG = "SLIPWAY_LAB_OWNED_BY"
PYTHON = "/usr/bin/python3"


def environment(config: Config) -> dict[str, str]:
    """Return the environment of the lab's processes."""
    config.paths.build.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "TMPDIR": str(config.paths.build),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        TAG: str(config.paths.state),
        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
    }


def run(
    config: Config,
    *argv: str | Path,
    log: Path | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program to its end and return its output; a failure shows its last words."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
        env=environment(config),
        cwd=cwd,
        text=True,
        check=False,
    )
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout)
    if done.returncode:
        output = done.stdout if log else done.stderr or done.stdout
        tail = "\n".join(output.strip().splitlines()[-15:])
        hint = f"All of it: {log}" if log else ""
        raise LabError(f"{words[0]} ended with {done.returncode}:\n{tail}\n", hint)
    return done.stdout


def in_namespace(config: Config, *argv: str | Path) -> list[str]:
    """Return a command line that runs a program inside the lab's network namespace."""
    return ["nsenter", f"--net=/run/netns/{config.namespace}", "--", *map(str, argv)]


def spawn(config: Config, argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a daemon that outlives us: a session of its own, output to a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(config),
            start_new_session=True,
            cwd="/",
        )


def module(config: Config, *arguments: str) -> list[str]:
    """Return a command line of this very package, run by Debian's own Python."""
    return [PYTHON, "-m", "slipway_lab", "--state", str(config.paths.state), *arguments]


def alive(pidfile: Path, *needles: str) -> int | None:
    """Return the PID in the file if that process still runs and its command line fits."""
    try:
        pid = int(pidfile.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (OSError, ValueError):
        return None
    return pid if all(needle in words for needle in needles) else None


def mounts(below: Path) -> list[str]:
    """Return mount points at or under a folder, deepest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if Path(point).is_relative_to(below):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def remove_tree(folder: Path) -> None:
    """Delete a folder if it is there; never walk into something mounted, such as /dev."""
    mounted = mounts(folder)
    if mounted:
        raise LabError(f"{mounted[0]} is mounted, so {folder} is not deleted.", "`make lab-down`")
    if folder.exists():
        shutil.rmtree(folder)


def give(path: Path, config: Config) -> Path:
    """Hand a file to the owner of the state folder, who need not be root."""
    owner = config.paths.state.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    return path


def say(text: str) -> None:
    """Tell the person at the terminal; standard output belongs to the result."""
    print(text, file=sys.stderr, flush=True)
