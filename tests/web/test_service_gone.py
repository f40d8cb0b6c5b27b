# SPDX-License-Identifier: GPL-3.0-or-later
"""The service stops and starts while somebody looks: it is said, and gone without a reload."""

from __future__ import annotations

import re
import time

import pytest

from .house import House
from .school import ROOM

_WORDS = "The control service does not answer."


@pytest.mark.parametrize("path", ["/", "/jobs/{job}"])
def test_a_page_that_is_open(house: House, path: str) -> None:
    service = house.school.service
    with house.visit("vera") as visit:
        page = visit.page
        path = house.school.paths().get(path, path)
        visit.go(path)
        page.evaluate("window.isTheSame = true")
        page.wait_for_function("document.body.matches('[sse-connect]')")
        # The line is there once the first event has come.
        page.wait_for_timeout(1500)
        service.stop()
        stopped = time.monotonic()
        page.get_by_text(_WORDS).wait_for()
        print(f"said after {time.monotonic() - stopped:.1f} s")
        assert page.get_by_text(ROOM[2]).count(), "what was true is still there"
        assert page.get_by_text("What you see was true at").count() == 1
        service.start()
        page.get_by_text(_WORDS).wait_for(state="detached")
        assert page.evaluate("window.isTheSame")
        assert visit.seen == []
        # And one that is opened meanwhile says so at once.
        service.stop()
        visit.go(path)
        page.get_by_text(_WORDS).wait_for()
        assert page.get_by_role("link", name=re.compile(ROOM[2])).count()
        service.start()
        page.get_by_text(_WORDS).wait_for(state="detached")
