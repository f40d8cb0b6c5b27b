# SPDX-License-Identifier: GPL-3.0-or-later
"""`make soak`, for a short while: nothing is refused and nothing is lost while all goes on at once.

SLIPWAY_SOAK says for how many seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import soak, worlds

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("soak")]

SECONDS = float(os.environ.get("SLIPWAY_SOAK", "30"))
KILLS = 20 if SECONDS >= 600 else 3
# A backup takes longer than a chunk that nobody was promised stays.
QUICK = {"collect_after_seconds": 1, "collect_margin_seconds": 1, "upkeep_seconds": 0}


def soaked(folder: Path, seconds: float, *, promising: bool) -> soak.Soak:
    """Everything at once for so long, and everything read afterwards."""
    service, world = worlds.make(folder, promising=promising, **QUICK)
    soak.prepare(service)
    run = soak.Soak(service.start(), world, KILLS if promising else 0)
    try:
        run.run(seconds, until_refused=not promising)
        if promising:
            for image in service.admin.get("/v1/images").json()["images"]:
                for version in image["versions"]:
                    path = f"/v1/images/{image['name']}/{version['version']}/check"
                    if (check := service.admin.post(path).json())["state"] != "sound":
                        run.problems.append(f"{path}: {check['problems']}")
    finally:
        service.close()
    print(f"{seconds:.0f} s: {dict(run.counts)}")
    return run


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 900)
def test_nothing_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    run = soaked(tmp_path, SECONDS, promising=True)
    assert run.problems == []
    assert run.counts["kills"] == KILLS
    assert [what for what in soak.HAPPENS if not run.counts[what]] == []


@pytest.mark.timeout(600)
def test_without_promises_backups_are_refused(tmp_path: Path) -> None:
    assert soaked(tmp_path, 300, promising=False).problems
