# SPDX-License-Identifier: GPL-3.0-or-later
"""What others made and the page brings along: each file with name, version, digest and licence."""

from __future__ import annotations

import hashlib
import json

from slipway_web.views import STATIC

FOLDER = STATIC / "vendor"


def test_each_file_is_what_its_package_holds() -> None:
    said = json.loads((FOLDER / "vendor.json").read_text())
    there = {path.name for path in FOLDER.iterdir()} - {"vendor.json"}
    assert there == set(said)
    for name, facts in said.items():
        assert set(facts) == {"package", "version", "from", "license", "sha256"}
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == facts["sha256"], name
        assert facts["license"] in ("MIT", "0BSD")


def test_nothing_comes_from_another_host() -> None:
    for path in FOLDER.glob("*.css"):
        text = path.read_text()
        assert "@import" not in text
        assert "url(http" not in text and 'url("http' not in text and "url(//" not in text
