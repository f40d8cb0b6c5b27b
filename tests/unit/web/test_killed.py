# SPDX-License-Identifier: GPL-3.0-or-later
"""The page is killed while an order is under way: the job is there once, or not at all.

And a table of sign-ins that a power cut broke is made anew.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from slipway_web.sign_ins import NAME

from ..server.choosing import make_chooser
from .conftest import Page

_KILLS = 12


@pytest.mark.plays
def test_an_order_is_there_once_or_not_at_all(page: Page, tmp_path: Path) -> None:
    own = Page(tmp_path / "own", page.service).start()
    there = 0
    try:
        for number in range(_KILLS):
            pc, browser = make_chooser(page.service), own.browser("otto")
            plan = browser.get(f"/order?verb=backup&machine={pc.name}")

            def send(browser=browser, plan=plan) -> None:  # type: ignore[no-untyped-def]
                try:
                    browser.send(plan, "/order")
                except httpx.TransportError:
                    # It was killed before it answered.
                    return

            sending = threading.Thread(target=send)
            sending.start()
            time.sleep(number * 0.004)
            assert own.process is not None
            own.process.send_signal(signal.SIGKILL)
            own.process.wait(60)
            sending.join(60)
            own.start()
            jobs = page.service.admin.get("/v1/jobs").json()["jobs"]
            mine = [each for each in jobs if each["machine"] == pc.name]
            assert len(mine) <= 1
            there += len(mine)
            # Whoever sends the same once more has one in the end, and is told which it was.
            again = browser.send(plan, "/order")
            assert again.status_code == (409 if mine else 303)
            jobs = page.service.admin.get("/v1/jobs").json()["jobs"]
            assert len([each for each in jobs if each["machine"] == pc.name]) == 1
    finally:
        own.close()
    print(f"{there} of {_KILLS} orders had been taken")


def test_a_broken_table_of_sign_ins_is_made_anew(page: Page, tmp_path: Path) -> None:
    own = Page(tmp_path / "own", page.service)
    (tmp_path / "own/state" / NAME).write_bytes(b"no table" * 512)
    try:
        browser = own.start().browser("vera")
        own.stop()
        own.start()
        assert browser.get("/").status_code == 200, "what was made anew is kept"
    finally:
        own.close()
