# SPDX-License-Identifier: GPL-3.0-or-later
"""What failed beside others runs once more, alone: nothing else does."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TESTS = """
import pytest

@pytest.mark.xdist_group("a group")
@pytest.mark.parametrize("case", ["good", "user@host", "bad"])
def test_in_a_group(case):
    assert case != "bad"

@pytest.mark.parametrize("case", ["user@host", "well"])
def test_in_none(case):
    assert case == "well"

def test_good():
    pass
"""


def test_what_failed_in_a_group_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "test_these.py").write_text(_TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", os.devnull]
    words += ["--rootdir", str(tmp_path), "-o", f"cache_dir={tmp_path}/cache", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def tried(*more: str) -> str:
        done = subprocess.run(
            [*words, *more], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        return done.stdout

    first = tried("-n", "1", "--dist", "loadgroup")
    assert "2 failed, 4 passed" in first, first
    failed = json.loads((tmp_path / "cache/v/cache/lastfailed").read_text())
    assert set(failed) == {
        "test_these.py::test_in_a_group[bad]",
        "test_these.py::test_in_none[user@host]",
    }
    again = tried("-n", "0", "--last-failed", "--last-failed-no-failures", "none")
    assert "2 failed" in again and "passed" not in again, again
