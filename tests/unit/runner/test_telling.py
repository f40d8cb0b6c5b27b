# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible says is told to a service while it comes; one that is down is borne."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import AdminApi
from slipway_runner.output import Output
from slipway_runner.telling import Teller

from ..server.choosing import make_chooser, order
from ..server.conftest import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    folder = tmp_path / "service"
    folder.mkdir()
    return Service(folder)


def test_it_is_told_while_it_comes_and_whole_at_the_end(service: Service, tmp_path: Path) -> None:
    service.start()
    try:
        job = order(service, make_chooser(service).name).json()["id"]
        path = f"/v1/jobs/{job}/output"
        with (
            Teller(AdminApi(str(service.folder / "runner")), job) as teller,
            Output(tmp_path / "output.txt", 100_000, teller.add) as output,
        ):
            output.write("\x1b[0;32mok: [pc1]\x1b[0m")
            deadline = time.monotonic() + 60
            while not service.admin.get(path).json()["text"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            for number in range(2000):
                output.write(f"line {number}")
            output.write("PLAY RECAP")
        said = service.admin.get(path).json()["text"]
        assert said == (tmp_path / "output.txt").read_text()
        assert said.startswith("ok: [pc1]\nline 0\n") and said.endswith("PLAY RECAP\n")
    finally:
        service.close()


def test_a_service_that_is_down_costs_no_job_its_file(tmp_path: Path) -> None:
    with (
        Teller(AdminApi(str(tmp_path / "nobody")), "0123456789abcdef") as teller,
        Output(tmp_path / "output.txt", 100, teller.add) as output,
    ):
        output.write("ok: [pc1]")
        output.write("x" * 200)
    assert (tmp_path / "output.txt").read_text().startswith("ok: [pc1]\nxxx")
