# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes long is begun for the page and answered at once; how it goes and ended is asked for.

A file that a check or a collection has to read is a pipe here: whoever reads it waits for the test.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.format.frames import digest_of, make_frame

from .conftest import PATIENCE, Service, cell, manifest_of
from .test_audit import lines
from .test_page_socket import ask

# The service is killed in most of them.
pytestmark = pytest.mark.plays


def pipe_instead(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def checked(service: Service, name: str, version: str) -> dict[str, Any]:
    said = ask(service, "GET", f"/v1/images/{name}/{version}/check", "viewer").json()["check"]
    return dict(said or {})


def ended(service: Service, name: str, version: str) -> dict[str, Any]:
    until(lambda: checked(service, name, version)["ended"])
    return checked(service, name, version)


def test_a_check_is_begun_and_its_outcome_outlasts_the_process(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    first, second = cell("read at once"), cell("read when the test says")
    name, version = service.image(first, second)
    assert checked(service, name, version) == {}
    pipe_instead(service.chunk_path(second))
    begun = ask(service, "POST", f"/v1/images/{name}/{version}/check", "operator")
    assert (begun.status_code, begun.json()["state"]) == (202, "running")
    assert lines(service, 1)[0]["verb"] == "check an image"
    # The service answers others meanwhile, and who orders it once more joins.
    assert ask(service, "GET", "/v1/status").status_code == 200
    assert ask(service, "POST", f"/v1/images/{name}/{version}/check").json()["by"] == "anna"
    running = checked(service, name, version)
    assert (running["state"], running["ended"]) == ("running", None)
    service.chunk_path(second).write_bytes(make_frame(second))
    found = ended(service, name, version)
    assert (found["state"], found["by"], found["problem_count"]) == ("sound", "anna", 0)
    service.chunk_path(second).unlink()
    service.chunk_path(second).write_bytes(make_frame(second))
    service.chunk_path(first).unlink()
    assert ask(service, "POST", f"/v1/images/{name}/{version}/check").status_code == 202
    until(lambda: checked(service, name, version)["state"] == "broken")
    service.restart()
    kept = checked(service, name, version)
    assert (kept["state"], kept["problem_count"]) == ("broken", 1)
    assert kept["problems"][0]["digest"] == digest_of(first)


def test_a_check_that_ends_with_the_service_says_so(own_service: Callable[..., Service]) -> None:
    service = own_service()
    content = cell("never read")
    name, version = service.image(content)
    pipe_instead(service.chunk_path(content))
    assert ask(service, "POST", f"/v1/images/{name}/{version}/check").status_code == 202
    service.restart(signal.SIGKILL)
    assert checked(service, name, version)["state"] == "cut off"


def test_more_checks_than_can_be_meant_are_refused(own_service: Callable[..., Service]) -> None:
    service = own_service()
    content = cell("all of them wait for this")
    pipes = [service.image(content) for _ in range(17)]
    pipe_instead(service.chunk_path(content))
    said = [ask(service, "POST", f"/v1/images/{name}/{version}/check") for name, version in pipes]
    assert [each.status_code for each in said] == [202] * 16 + [409]
    assert said[-1].json()["error"] == "already_runs"
    service.stop(signal.SIGKILL)


def test_a_collection_is_begun_and_seen_to_end(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, _ = service.image(cell("kept"))
    manifest = service.store / "images" / name / "20200101T000000Z.json"
    pipe_instead(manifest)
    begun = ask(service, "POST", "/v1/collect")
    assert (begun.status_code, begun.json()["under_way"]) == (202, ["collection"])
    assert lines(service, 1)[0]["verb"] == "collect"
    assert ask(service, "POST", "/v1/collect").json()["error"] == "already_runs"
    upkeep = ask(service, "GET", "/v1/upkeep", "viewer").json()
    assert (upkeep["progress"]["step"], upkeep["progress"]["total"]) == ("manifests", 2)
    # Nobody ends it: the next process knows that one was begun.
    service.restart(signal.SIGKILL)
    upkeep = ask(service, "GET", "/v1/upkeep", "viewer").json()
    assert (upkeep["progress"], list(upkeep["cut_off"])) == (None, ["collection"])
    assert ask(service, "POST", "/v1/collect").status_code == 202
    manifest.write_bytes(manifest_of(name, cell("kept")))
    manifest.unlink()
    done = until(lambda: ask(service, "GET", "/v1/upkeep").json()["collection"])
    assert (done["problem"], done["kept"]) == (None, 1)
    assert ask(service, "GET", "/v1/upkeep").json()["cut_off"] == {}


def test_a_collection_that_stops_says_why_afterwards(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, version = service.image(cell("of a damaged manifest"))
    (service.store / "images" / name / f"{version}.json").write_text("{")
    assert ask(service, "POST", "/v1/collect").status_code == 202
    done = until(lambda: ask(service, "GET", "/v1/upkeep").json()["collection"])
    assert version in done["problem"] and done["done_at"] is None
