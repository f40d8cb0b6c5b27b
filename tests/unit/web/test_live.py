# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes while a page is open comes by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from slipway.format.frames import make_frame

from ..server.choosing import make_chooser, order
from ..server.conftest import Service, cell
from ..server.test_begun import pipe_instead
from .conftest import Browser, Page


def events(browser: Browser, path: str) -> Iterator[tuple[str, str]]:
    """Name and text of each event, as they come."""
    cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
    headers = {"Host": "server:8443", "Cookie": cookie}
    transport = httpx.HTTPTransport(uds=str(browser.page.folder / "page"), verify=False)
    with (
        httpx.Client(transport=transport, base_url="http://server", timeout=30) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        name, text = "", list[str]()
        for line in answer.iter_lines():
            key, _, value = line.partition(": ")
            if key == "event":
                name, text = value, []
            elif key == "data" or line == "data:":
                text.append(value)
            elif not line and name:
                yield name, "\n".join(text)
                name = ""


def until(found: Iterator[tuple[str, str]], name: str, word: str) -> str:
    for said, text in found:
        if said == name and word in text:
            return text
    raise AssertionError(f"no {name} with {word}")


def test_a_job_is_seen_to_end_without_a_reload(page: Page) -> None:
    pc = make_chooser(page.service)
    job = order(page.service, pc.name).json()["id"]
    shown = page.browser("vera").get(f"/jobs/{job}").text
    assert f'sse-connect="/live?job={job}"' in shown
    assert "Cancel" not in shown
    otto = page.browser("otto")
    assert "Cancel" in otto.get(f"/jobs/{job}").text
    found, others = (events(each, f"/live?job={job}") for each in (page.browser("vera"), otto))
    until(found, "job", "queued")
    until(others, "actions", "Cancel")
    page.service.admin.delete(f"/v1/jobs/{job}")
    ended = until(found, "job", "cancelled")
    assert "<script" not in ended and "style=" not in ended
    # What it says of its end, and what can be done, is of now, too.
    assert until(found, "times", "Ended").count("not yet") == 1
    assert "Cancel" not in until(others, "actions", "Again")
    assert "Again" not in otto.page.browser("vera").get(f"/jobs/{job}").text


def test_a_check_and_a_collection_are_seen_to_end_without_a_reload(page: Page) -> None:
    service, anna = page.service, page.browser("anna")
    content = cell("looked at while it is read")
    name, version = service.image(content)
    pipe_instead(service.chunk_path(content))
    about = f"?image={name}&version={version}"
    done = anna.send(anna.get(f"/act/check{about}"), "/act/check")
    assert done.headers["location"] == f"/images/{name}/{version}"
    shown = anna.get(f"/images/{name}/{version}").text
    assert f'sse-connect="/live?check={name}%40{version}"' in shown
    assert "running" in shown and "Look again" in shown
    found = events(page.browser("vera"), f"/live?check={name}@{version}")
    until(found, "check", "running")
    service.chunk_path(content).write_bytes(make_frame(content))
    assert "by anna" in until(found, "check", "sound")
    assert "sound" in anna.get(f"/images/{name}/{version}").text
    service.chunk_path(content).unlink()
    service.chunk_path(content).write_bytes(make_frame(content))
    manifest = service.store / "images" / name / "20200101T000000Z.json"
    pipe_instead(manifest)
    assert anna.send(anna.get("/act/collect"), "/act/collect").headers["location"] == "/store"
    found = events(page.browser("vera"), "/live?part=store")
    until(found, "upkeep", "The collection looks at manifests")
    manifest.write_bytes(b"{")
    manifest.unlink()
    assert "Collection stopped before anything was removed" in until(found, "upkeep", "20200101")


def test_what_is_not_there_has_no_news(page: Page) -> None:
    for query in ("check=nothing", "check=no@20260101T000000Z", "check=../x@y", "part=x", "job=x"):
        assert next(events(page.browser("vera"), f"/live?{query}"))[0] == "banner"


def test_a_service_that_stops_and_comes_back_is_said_within_seconds(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    service = Service(folder).start()
    own = Page(tmp_path / "own", service).start()
    try:
        found = events(own.browser("vera"), "/live")
        assert "alert" not in next(found)[1]
        service.stop()
        stopped = time.monotonic()
        until(found, "banner", "does not answer")
        assert time.monotonic() - stopped < 30
        service.start()
        assert next(text for name, text in found if name == "banner" and "alert" not in text) == ""
    finally:
        own.close()
        service.close()


def test_the_stream_ends_with_the_sign_in(page: Page) -> None:
    browser = page.browser("vera")
    found = events(browser, "/live")
    next(found)
    browser.send(browser.get("/"), "/sign-out")
    assert [name for name, _ in found][-1] == "end"
    assert Browser(page).get("/live").status_code == 303
