# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: one run, interleaved, medians; a table for people, then one line of JSON."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .cases import CASES, Round
from .disks import Disks
from .media import CASE as MEDIA
from .media import Media, disk_folder
from .results import TOOLS, Results
from .room import NoRoom, memory_folder, parse_size
from .tools import AGENT


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--size", default="2G", help="used bytes of the disk, as 2G or 512M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tree", type=Path, default=Path("/usr"), help="files of a real system")
    every = (*CASES, MEDIA)
    parser.add_argument("--cases", default=",".join(every), help="a part of them, with commas")
    parser.add_argument("--tools", default=",".join(TOOLS), help="a part of them, with commas")
    parser.add_argument("--media-size", default="5G", help="used bytes of the image of media")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="where media are made")
    parser.add_argument("--before", help="a revision of this repository, its agent beside ours")
    arguments = parser.parse_args()
    for text, known in ((arguments.cases, every), (arguments.tools, TOOLS)):
        if unknown := sorted(set(text.split(",")) - set(known)):
            parser.error(f"{unknown[0]!r} is none of {', '.join(known)}")
    # A bench that is stopped takes its memory and its loop devices with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results()
    try:
        with ExitStack() as ends:
            folder = None
            if MEDIA in arguments.cases.split(","):
                size = parse_size(arguments.media_size)
                folder = ends.enter_context(disk_folder(arguments.disk, size))
            if arguments.cases != MEDIA:
                _run(arguments, results)
            if folder is not None:
                _run_media(arguments, folder, results)
    except NoRoom as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print()
    for line in (*results.table(), "", *results.wanted(), "", results.line()):
        print(line)
    return 0


def _run(arguments: argparse.Namespace, results: Results) -> None:
    size, tree = parse_size(arguments.size), arguments.tree
    cases, tools = arguments.cases.split(","), arguments.tools.split(",")
    with memory_folder(size) as memory:
        _say(f"building disks of {size >> 20} MiB from {tree}")
        disks = Disks(memory, tree, size)
        used = disks.used_bytes(disks.source)
        cores = len(os.sched_getaffinity(0))
        _say(f"{disks.file_bytes >> 20} MiB of files, {used >> 20} MiB used, {cores} cores")
        before = _agent_of(arguments.before, memory) if arguments.before else None
        for turn in range(arguments.rounds):
            _say(f"round {turn + 1} of {arguments.rounds}, load average {os.getloadavg()[0]:.1f}")
            folder = Path(tempfile.mkdtemp(dir=memory))
            folder.chmod(0o755)
            Round(disks, folder, results, _say, before).run(cases, tools, turn)
            shutil.rmtree(folder)


def _run_media(arguments: argparse.Namespace, folder: Path, results: Results) -> None:
    size = parse_size(arguments.media_size)
    _say(f"building an image of {size >> 20} MiB from {arguments.tree} on a disk")
    media = Media(folder, arguments.tree, size)
    for turn in range(arguments.rounds):
        _say(f"media, round {turn + 1} of {arguments.rounds}")
        media.run(results, _say, turn)


def _agent_of(revision: str, folder: Path) -> Path:
    """The agent as it was."""
    packed = ["git", "-C", str(AGENT), "archive", revision, "."]
    agent = folder / "before"
    agent.mkdir()
    archive = subprocess.run(packed, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", str(agent)], input=archive, check=True)
    return agent


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
