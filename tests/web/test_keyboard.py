# SPDX-License-Identifier: GPL-3.0-or-later
"""With the keyboard alone: sign in, back a PC up, cancel, sign out."""

from __future__ import annotations

from ..unit.web.conftest import PASSWORDS
from .house import House, Visit
from .school import ROOM

_MOST = 200
_FOCUSED = """() => {
  const it = document.activeElement, style = getComputedStyle(it);
  const words = it.labels && it.labels.length ? it.labels[0].innerText : it.innerText;
  // Buttons have a shadow without the focus, too: the outline alone tells.
  return [(it.getAttribute("aria-label") || words || "").trim(), style.outlineStyle !== "none"];
}"""


def _tab_to(visit: Visit, name: str) -> None:
    """Go on with the tab key until something of that name has the focus, and shows it."""
    for _ in range(_MOST):
        visit.page.keyboard.press("Tab")
        found, shown = visit.page.evaluate(_FOCUSED)
        if found == name:
            assert shown, f"nobody sees that {name} has the focus"
            return
    raise AssertionError(f"the keyboard does not come to {name}")


def _enter(visit: Visit, name: str) -> None:
    _tab_to(visit, name)
    with visit.page.expect_navigation():
        visit.page.keyboard.press("Enter")


def test_a_backup_by_keyboard_alone(house: House) -> None:
    with house.visit() as visit:
        visit.go("/")
        keys = visit.page.keyboard
        # The name has the focus already.
        assert visit.page.evaluate(_FOCUSED)[0] == "Name"
        keys.type("otto")
        keys.press("Tab")
        keys.type(PASSWORDS["otto"])
        with visit.page.expect_navigation():
            keys.press("Enter")
        _enter(visit, "Machines")
        _tab_to(visit, "To the content")
        keys.press("Enter")
        _enter(visit, ROOM[0])
        _enter(visit, "Back up")
        _enter(visit, "Back up")
        visit.page.get_by_text("queued").wait_for()
        assert _jobs(house)[-1]["machine"] == ROOM[0]
        _enter(visit, "Cancel")
        _enter(visit, "Cancel a job")
        visit.page.get_by_text("cancelled", exact=True).wait_for()
        assert _jobs(house)[-1]["outcome"] == "cancelled"
        _enter(visit, "Sign out")
        visit.page.get_by_label("Password").wait_for()
        assert visit.seen == []


def _jobs(house: House) -> list[dict[str, str]]:
    return list(house.school.service.admin.get("/v1/jobs").json()["jobs"])
