# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible says in a job, told by the runner while it comes, and seen by whoever looks on."""

from __future__ import annotations

from slipway_server.jobs.outputs import LARGEST, MOST, Outputs

from .choosing import make_chooser, order
from .conftest import Service


def test_of_too_much_the_end_is_kept() -> None:
    outputs = Outputs()
    outputs.add("a", "first\n")
    outputs.add("a", "second\n")
    assert outputs.of("a") == ("first\nsecond\n", False)
    outputs.add("a", "x" * LARGEST)
    assert outputs.of("a") == ("x" * LARGEST, True)
    for number in range(MOST - 1):
        outputs.add(str(number), "y")
    outputs.add("a", "z")
    outputs.add("one more", "y")
    assert outputs.of("0") == ("", False), "who spoke the longest ago is forgotten"
    assert outputs.of("a")[0].endswith("xz") and outputs.of("nobody") == ("", False)


def test_what_the_runner_tells_is_seen(service: Service) -> None:
    job = order(service, make_chooser(service).name).json()["id"]
    path = f"/v1/jobs/{job}/output"
    assert service.admin.get(path).json() == {"text": "", "cut": False}
    for text in ("PLAY [Back up]\n", "ok: [pc1]\n"):
        assert service.runner.post(path, json={"text": text}).status_code == 200
    assert service.admin.get(path).json()["text"] == "PLAY [Back up]\nok: [pc1]\n"
    assert service.runner.post(path, json={"text": "x" * (LARGEST + 1)}).status_code == 422
    nobody = service.runner.post("/v1/jobs/0123456789abcdef/output", json={"text": "x"})
    assert nobody.json()["error"] == "no_such_job"
    service.admin.delete(f"/v1/jobs/{job}")
