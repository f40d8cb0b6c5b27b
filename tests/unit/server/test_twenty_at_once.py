# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty PCs choose at the same moment, and the service is restarted in the middle.

Everything is real but the playbook: the service, the runner, the client, the unix sockets.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import AdminApi
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from slipway_runner.play import Ending
from slipway_runner.runner import Runner

from .choosing import Chooser, make_chooser
from .conftest import Service

pytestmark = pytest.mark.plays

PCS, LIMIT = 20, 3


class Playbooks:
    """In the place of ansible-runner: opens the job's session, waits for its machine, ends."""

    def __init__(self, service: Service, pcs: list[Chooser]) -> None:
        self.api = AdminApi(str(service.folder / "runner"))
        self.pcs = {pc.name: pc for pc in pcs}
        self.at_once = self.most = 0
        self.runs: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, job: Mapping[str, Any], stopped: Callable[[], bool]) -> Ending:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.runs.append(job["id"])
        try:
            return self._play(job, stopped)
        finally:
            with self._lock:
                self.at_once -= 1

    def _play(self, job: Mapping[str, Any], stopped: Callable[[], bool]) -> Ending:
        request = {key: job[key] for key in ("machine", "macs", "image")}
        request |= {"verb": job["verb"], "job": job["id"]}
        session = patient(lambda: self.api.open_session(request))["id"]
        while patient(lambda: self.api.session(session, 1, "checked_in"))["state"] == "requested":
            if stopped():
                return Ending("failed", "stopped")
        time.sleep(0.3)
        patient(lambda: self.api.end_session(session, "done"))
        return Ending("done")


def patient(work: Callable[[], Any]) -> Any:
    """Try again while the service is away, as people and playbooks do."""
    for _ in range(200):
        try:
            return work()
        except (httpx.TransportError, SlipwayError) as error:
            if isinstance(error, SlipwayError) and error.error != "service_unreachable":
                raise
            time.sleep(0.1)
    raise AssertionError("the service stays away")


def user(pc: Chooser, ready: threading.Barrier) -> dict[str, Any]:
    """What one PC does, from the choice to the end of its job."""
    ready.wait()
    assert patient(lambda: pc.choose("backup")).status_code == 201
    joined = False
    while (seen := patient(pc.look))["state"] != "ended":
        if seen["session"] and not joined:
            answer = patient(lambda session=seen["session"]: pc.check_in(session))
            # A check-in whose answer was lost is repeated, and granted again.
            joined = answer.status_code == 200
        time.sleep(0.1)
    return dict(seen)


@contextmanager
def running(runner: Runner) -> Iterator[None]:
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        runner.drain()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_every_job_ends_the_limit_holds_none_is_lost(
    own_service: Callable[..., Service], number: signal.Signals
) -> None:
    service = own_service()
    pcs = [make_chooser(service) for _ in range(PCS)]
    playbooks = Playbooks(service, pcs)
    runner = Runner(AdminApi(str(service.folder / "runner")), playbooks, LIMIT)
    ready = threading.Barrier(PCS + 1)
    with running(runner), ThreadPoolExecutor(PCS) as pool:
        waiting = [pool.submit(user, pc, ready) for pc in pcs]
        ready.wait()
        for pause in (0.5, 2):
            time.sleep(pause)
            service.restart(number)
        seen = [each.result(120) for each in waiting]
    assert [each["outcome"] for each in seen] == ["done"] * PCS
    assert playbooks.most == LIMIT
    assert len(playbooks.runs) == len(set(playbooks.runs)) == PCS, "each ran once"
    listed = service.admin.get("/v1/jobs").json()["jobs"]
    assert {each["outcome"] for each in listed} == {"done"}
    assert service.admin.get("/v1/sessions?state=checked_in").json()["sessions"] == []


def test_a_runner_that_is_stopped_says_so(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)
    runner = Runner(AdminApi(str(service.folder / "runner")), Playbooks(service, [pc]), 1)
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    pc.choose("backup")
    while not (seen := pc.look())["session"]:
        time.sleep(0.1)
    runner.stop()
    thread.join(30)
    assert not thread.is_alive()
    seen = pc.look()
    assert (seen["state"], seen["outcome"]) == ("ended", "failed")
    assert "stopped" in seen["message"]


def test_a_playbook_that_explodes_ends_its_job(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)

    def explode(job: Mapping[str, Any], stopped: Callable[[], bool]) -> Ending:
        raise RuntimeError(job["id"])

    with running(Runner(AdminApi(str(service.folder / "runner")), explode, 1)):
        pc.choose("backup")
        while (seen := pc.look())["state"] != "ended":
            time.sleep(0.1)
    assert seen["outcome"] == "failed"
    assert "RuntimeError" in seen["message"]


def test_a_cancelled_job_stops_its_playbook(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)
    playbooks = Playbooks(service, [pc])
    with running(Runner(AdminApi(str(service.folder / "runner")), playbooks, 1)):
        pc.choose("backup")
        while not (seen := pc.look())["session"]:
            time.sleep(0.1)
        service.admin.delete(f"/v1/jobs/{seen['id']}")
    assert playbooks.at_once == 0
    assert pc.look()["outcome"] == "cancelled"
