# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures that the README shows: SLIPWAY_SCREENS=FOLDER keeps them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .house import House

_SIZE = {"width": 1160, "height": 740}
_LARGEST = 150_000


@pytest.mark.parametrize("name", ["overview", "machine", "image", "job"])
def test_a_picture(house: House, tmp_path: Path, name: str) -> None:
    known = house.school.paths()
    folder = Path(os.environ.get("SLIPWAY_SCREENS") or tmp_path)
    file = folder / f"{name}.png"
    with house.visit("anna") as visit:
        visit.page.set_viewport_size({"width": _SIZE["width"], "height": _SIZE["height"]})
        visit.go(
            known.get(
                {
                    "machine": "/machines/{machine}",
                    "image": "/images/{image}",
                    "job": "/jobs/{job}",
                }.get(name, "/"),
                "/",
            )
        )
        visit.page.evaluate("document.fonts.ready")
        visit.page.screenshot(path=file)
    assert 10_000 < file.stat().st_size < _LARGEST
