# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures that the README shows: SLIPWAY_SCREENS=FOLDER keeps them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize

from .house import House

_SIZE: ViewportSize = {"width": 1160, "height": 740}
# Where each is; the words of `School.paths`.
_PATHS = {
    "overview": "/",
    "machine": "/machines/{machine}",
    "image": "/images/{image}",
    "job": "/jobs/{job}",
    "version": "/images/{image}/{version}",
    "store": "/store",
}
_LARGEST = 150_000


@pytest.mark.parametrize("name", _PATHS)
def test_a_picture(house: House, tmp_path: Path, name: str) -> None:
    known = house.school.paths()
    folder = Path(os.environ.get("SLIPWAY_SCREENS") or tmp_path)
    file = folder / f"{name}.png"
    with house.visit("anna") as visit:
        visit.page.set_viewport_size(_SIZE)
        visit.go(known.get(_PATHS[name], _PATHS[name]))
        visit.page.evaluate("document.fonts.ready")
        visit.page.screenshot(path=file)
        assert visit.seen == []
    assert 10_000 < file.stat().st_size < _LARGEST
