# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is sent to the page is refused or shown: it is never a fault, and text stays text."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from slipway_web.app import PAGES
from slipway_web.pages.acts import ACTS

from ..conftest import FUZZ
from .conftest import Browser, Page

LINES = [line for line in PAGES if not line.endswith((" /live", " /sign-out", "/account/end"))]
NAMES = sorted(
    {
        "q",
        "sort",
        "page",
        "mark",
        "machine",
        "verb",
        "image",
        "after",
        "plan",
        "typed",
        "text",
        "theme",
        "next",
        "name",
        "password",
        "last",
        "daily",
        "part",
        "job",
        "id",
    }
    | {each for act in ACTS.values() for each in act.about}
)
CANARY = "<script>canary()</script>"
TEMPLATE = "{{ 'canary' ~ '-of-templates' }}"
WORDS = st.one_of(
    st.text(max_size=60),
    st.sampled_from([CANARY, "../../x", "all", "\x00", TEMPLATE, "=1+1", "\u202ex", "9" * 400]),
    st.from_regex(r"[a-z0-9@.-]{1,40}", fullmatch=True),
)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), WORDS), max_size=6)


@pytest.fixture(scope="module")
def anna(page: Page) -> Browser:
    return page.browser("anna")


@pytest.mark.fuzz
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=max(FUZZ, 200),
)
@given(st.sampled_from(LINES), FIELDS, WORDS)
@example("GET /machines", [("q", CANARY)], "x")
@example("GET /schedules/{schedule}", [], CANARY)
def test_no_input_is_a_fault(
    page: Page, anna: Browser, line: str, fields: list[tuple[str, str]], word: str
) -> None:
    method, template = line.split(" ")
    path = re.sub("{[a-z]+}", quote(word.encode("utf-8", "replace"), safe=""), template)
    if method == "GET":
        answer = anna.get(f"{path}?{urlencode(fields, errors='replace')}" if fields else path)
    else:
        data = [*fields, ("key", anna.key())]
        answer = anna.post(path, [(key, each.encode("utf-8", "replace")) for key, each in data])
    assert answer.status_code < 500, (answer.status_code, line, fields, word)
    assert "<script>canary" not in answer.text
    assert "canary-of-templates" not in answer.text
