# SPDX-License-Identifier: GPL-3.0-or-later
"""What the image server runs for exports and files, as its playbooks start it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .conftest import AGENT

SERVER_FILES = AGENT.parents[1] / "roles/image_server/files"


@dataclass
class Exporter:
    """`python -m slipway_export` over one store."""

    store: Path

    def start(self, verb: str, *arguments: object) -> subprocess.Popen[str]:
        return self._run(verb, "--store", self.store, *arguments)

    @staticmethod
    def _run(*arguments: object) -> subprocess.Popen[str]:
        argv = [sys.executable, "-P", "-m", "slipway_export"]
        environment = os.environ | {"PYTHONPATH": f"{AGENT}:{SERVER_FILES}"}
        pipe = subprocess.PIPE
        words = [str(each) for each in (*argv, *arguments)]
        return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=environment)

    def _end(self, verb: str, *arguments: object) -> tuple[int, str, str]:
        process = self.start(verb, *arguments)
        stdout, stderr = process.communicate(timeout=300)
        return process.returncode, stdout, stderr

    def __call__(self, verb: str, *arguments: object) -> dict[str, Any]:
        """The answer of a run that has to succeed."""
        code, stdout, stderr = self._end(verb, *arguments)
        assert code == 0, stderr
        answer: dict[str, Any] = json.loads(stdout)
        return answer

    def anywhere(self, *words: object) -> dict[str, Any]:
        """The answer of a verb that needs no store."""
        process = self._run(*words)
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        answer: dict[str, Any] = json.loads(stdout)
        return answer

    def refused(self, verb: str, *arguments: object) -> str:
        """The words of a run that has to fail, in one line and without a traceback."""
        code, stdout, stderr = self._end(verb, *arguments)
        assert code != 0, stdout
        assert not stdout and stderr.count("\n") == 1, stderr
        return stderr


def left_behind(seconds: float = 20) -> list[str]:
    """Programs, mounts and folders that a run did not take with it, however late."""
    deadline = time.monotonic() + seconds
    while (found := _there()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _there() -> list[str]:
    programs = [
        line
        for line in subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True
        ).stdout.splitlines()
        if any(f" {name} " in line for name in ("nbdkit", "nbdfuse", "grub-fstest", "qemu-img"))
        and "slipway-export" in line
    ]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "slipway-e" in line]
    return programs + mounts + [str(each) for each in Path("/run/slipway-export").iterdir()]
