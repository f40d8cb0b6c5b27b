# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from ..fixtures.commands import MockCommand

# `make fuzz` asks for more, and searches; hypothesis itself would try 100. In `make test` the same
# examples are tried each time: what fails there, a change has broken.
FUZZ = int(os.environ.get("SLIPWAY_FUZZ", "100"))

# A test that says how long an example may take fails on a busy machine, and proves nothing.
settings.register_profile(
    "slipway", deadline=None, max_examples=FUZZ, derandomize="SLIPWAY_FUZZ" not in os.environ
)
settings.load_profile("slipway")


@pytest.fixture
def mock_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MockCommand]:
    """Put a fake program before the others on PATH; call it again for another one, or anew."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def install(
        name: str, stdout: str = "", code: int = 0, stderr: str = "", *, body: str = ""
    ) -> MockCommand:
        return MockCommand(folder, name).make(stdout, code, stderr, body)

    return install
