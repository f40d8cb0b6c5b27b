# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows a window: the rules are applied, for the night has made new versions."""

from __future__ import annotations

from pathlib import Path

from .choosing import make_chooser
from .conftest import cell
from .test_prune import listed, made, say
from .test_schedules import NIGHTLY, wait_for, window, write
from .worlds import make as make_world

OLD, NEW = "20260101T000000Z", "20260102T000000Z"


def test_a_window_that_ends_is_followed_by_a_prune(tmp_path: Path) -> None:
    service, world = make_world(tmp_path)
    try:
        service.start()
        pc = make_chooser(service)
        write(service, nightly=NIGHTLY | window(30) | {"machines": [pc.name]})
        wait_for(lambda: service.admin.get("/v1/jobs").json()["jobs"])
        for version in (OLD, NEW):
            made(service, "pc1", version, cell(version))
        say(service, keep={"last": 1})
        # An hour, in which the service's own clockwork has nothing to do.
        assert len(listed(service, "pc1")) == 2
        world.set_clock(3600)
        done = wait_for(lambda: service.admin.get("/v1/upkeep").json()["prune"])
        assert done["removed"] == [f"pc1@{OLD}"]
        assert list(listed(service, "pc1")) == [NEW]
    finally:
        service.close()
