# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's README is tried as it stands, with the command that `make setup` made."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.storage

README = Path(__file__).resolve().parents[2] / "client_image/agent/README.md"


def test_the_examples_work_as_written(tmp_path: Path) -> None:
    found = re.search(r"^Try it on files.*?```\n(.*?)```", README.read_text(), re.S | re.M)
    assert found, "the README has no examples to try"
    lines = found[1].replace("/srv/images", str(tmp_path / "images"))
    assert "slipway backup" in lines and "slipway restore" in lines
    programs = Path(sys.executable).parent
    assert (programs / "slipway").exists(), "make setup has made no slipway command"
    subprocess.run(
        ["bash", "-euc", lines],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        check=True,
    )
    for image in ("pc.img", "new.img"):
        subprocess.run(["e2fsck", "-fn", tmp_path / image], check=True, capture_output=True)
