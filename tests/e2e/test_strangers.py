# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host on the PCs' segment, which asks for what is a PC's while that boots."""

import subprocess
import time
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server

from .control import SPACE, Bench, admin, plug_in

pytestmark = pytest.mark.slow
BOOT_SECONDS = 300


def test_a_session_goes_to_its_pc_whoever_asks_first(
    lab: Lab, server: Server, pc1: Pc, tmp_path: Path
) -> None:
    plug_in(lab)
    stranger = Bench(lab, tmp_path, "stranger")
    body = {"machine": "pc1", "macs": list(pc1.macs), "verb": "backup", "image": "pc1"}
    status, session = admin(server, "POST", "/v1/sessions", body)
    assert status == 201, session
    path = f"/v1/sessions/{session['id']}"
    try:
        pc1.power_on()
        script = f"http://{server.address}/boot/{pc1.macs[0].replace(':', '-')}.ipxe"
        deadline = time.monotonic() + BOOT_SECONDS
        seen = session
        while seen["state"] != "checked_in":
            assert time.monotonic() < deadline, f"{seen}\n{pc1.console()[-3000:]}"
            words = ["ip", "netns", "exec", SPACE, "curl", "-s", script]
            got = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            assert "slipway.session" not in got
            assert got.startswith("#!ipxe"), "its menu, like without a session"
            asked = {"macs": list(pc1.macs)}
            assert stranger.request("POST", "/v1/pending", asked) == (200, {"session": None})
            _, seen = admin(server, "GET", path)
            time.sleep(0.5)
        assert seen["boot_script_served"] == 1
        assert [each["address"] for each in seen["strangers"]] == ["10.77.0.9"]
        assert seen["address"] != "10.77.0.9"
    finally:
        admin(server, "DELETE", f"{path}?outcome=done")
