# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody at a browser, watched: what it says on its console, asks of others, and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from ..unit.web import conftest as web
from ..unit.web.front import Front
from .school import School

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
WIDE: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
_SEE = """document.addEventListener("securitypolicyviolation",
  each => window.slipwayRefused(each.violatedDirective + " " + each.blockedURI))"""


@dataclass
class Visit:
    """A window of a browser in which somebody is, or nobody."""

    house: House
    context: BrowserContext
    page: Page
    # What should not be, in words.
    seen: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Open a page of ours."""
        self.page.goto(self.house.front.url + path)

    def axe(self) -> list[str]:
        """What axe finds: rule, what it is about, and where."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate(AXE)
        # What passes is ten thousand words more.
        found: list[dict[str, Any]] = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
        )
        return [
            f"axe {each['id']}: {each['help']}: {node['html'][:200]} {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


@dataclass
class House:
    """Everything that runs."""

    school: School
    page: web.Page
    front: Front
    chromium: Browser
    cookies: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def visit(self, name: str = "", *, script: bool = True, **options: Any) -> Iterator[Visit]:
        """A browser of its own in which that user is signed in."""
        context = self.chromium.new_context(
            ignore_https_errors=True,
            java_script_enabled=script,
            viewport=WIDE,
            reduced_motion="reduce",
            **options,
        )
        try:
            yield self._watch(context, name)
        finally:
            context.close()

    def _watch(self, context: BrowserContext, name: str) -> Visit:
        page = context.new_page()
        page.set_default_timeout(60_000)
        made = Visit(self, context, page)
        page.on("console", lambda said: made.seen.append(f"console {said.type}: {said.text}"))
        page.on("pageerror", lambda error: made.seen.append(f"script: {error}"))
        page.on("request", lambda asked: self._is_ours(asked.url, made))
        page.expose_function("slipwayRefused", lambda said: made.seen.append(f"csp: {said}"))
        page.add_init_script(_SEE)
        if name:
            self._signed_in(context, name)
        return made

    def _is_ours(self, url: str, made: Visit) -> None:
        if not url.startswith(self.front.url):
            made.seen.append(f"asked of another: {url}")

    def _signed_in(self, context: BrowserContext, name: str) -> None:
        """With a cookie of the page's own: a password takes a minute's share of sign-ins."""
        if name not in self.cookies:
            browser = self.page.browser(name)
            self.cookies[name] = browser.cookies["__Host-slipway"]
        context.add_cookies(
            [
                {
                    "name": "__Host-slipway",
                    "value": self.cookies[name],
                    "url": self.front.url,
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
