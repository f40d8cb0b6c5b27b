# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that has loaded the agent once, and becomes it for each call by a fork.

To start Python and to load the agent takes longer than most of what the tests have it do. As a
program this file is that process: it is told of a call by a line of JSON, and answers with the
exit code.
"""

import gc
import importlib
import json
import os
import pkgutil
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

AGENT = Path(__file__).resolve().parents[2] / "client_image/agent"


class WarmAgent:
    """Calls the agent, one at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, words: Sequence[str], output: Path, errors: Path, seconds: float) -> int:
        """The exit code of `slipway` with these words; what it printed is in the two files."""
        process = self._process or self._start()
        call = {
            "words": list(words),
            "files": [str(output), str(errors)],
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
        }
        assert process.stdin is not None and process.stdout is not None
        print(json.dumps(call), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], seconds)[0]:
            self.end()
            raise subprocess.TimeoutExpired(["slipway", *words], seconds)
        answer = process.stdout.readline()
        assert answer, "the process that becomes the agent is gone"
        return int(answer)

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"PYTHONPATH": str(AGENT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        return self._process

    def end(self) -> None:
        """End it, with whatever is at work."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.communicate()
            self._process = None


def load_all() -> None:
    """Load the agent's modules, of which each verb loads its own only when it is at work."""
    import slipway

    for module in pkgutil.walk_packages(slipway.__path__, "slipway."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # Nothing of it is garbage, and a fork that looks for some would copy its pages.
    gc.freeze()


def _wait_for_calls() -> list[str]:
    """Serve calls; in the process that is to be the agent, return its arguments."""
    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if not child:
            os.environ.clear()
            os.environ.update(call["environment"])
            os.chdir(call["folder"])
            _speak_into(*call["files"])
            return list(call["words"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def _speak_into(output: str, errors: str) -> None:
    """Point the three standard streams elsewhere; Python's own write to the same numbers."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (path, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (output, write), (errors, write))
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    from slipway.cli.main import main

    load_all()
    arguments = _wait_for_calls()
    sys.exit(main(arguments))
