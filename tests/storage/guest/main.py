# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the guest's tests and writes a line of JSON for each to the second serial port."""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
sys.path[:0] = [str(PROJECT / "site"), str(PROJECT / "client_image/agent")]

import pytest  # noqa: E402 - comes with the guest


class Reports:
    """A pytest plugin that sends each test's outcome out."""

    def __init__(self, port: Path) -> None:
        self.port = port

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.rpartition("/")[2]
        fields = {"name": name, "outcome": report.outcome, "text": report.longreprtext}
        print(f"{name}: {report.outcome}, {report.duration:.1f} s", flush=True)
        with self.port.open("w") as port:
            port.write(json.dumps(fields) + "\n")


if __name__ == "__main__":
    words = dict(word.partition("=")[::2] for word in Path("/proc/cmdline").read_text().split())
    tests = [str(HERE.with_name(each)) for each in words["guest.tests"].split(",")]
    arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests]
    if "guest.slow" not in words:
        arguments += ["-m", "not slow"]
    pytest.main(
        [*arguments, "-c", "/dev/null", "--rootdir", str(PROJECT)],
        [Reports(Path("/dev/ttyS1"))],
    )
