# SPDX-License-Identifier: GPL-3.0-or-later
"""Media that the image server made restore a PC whose cable is out, and it boots its own disk."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import PlaybookRun, run_playbook

from ..storage.media_pc import MediaPc
from . import independent
from .disk_files import copy

pytestmark = pytest.mark.slow

LONG = 900.0


def play(folder: Path, options: str = "", **variables: object) -> PlaybookRun:
    words = {"image": "pc1", "restore_media_folder": str(folder)} | variables
    run = run_playbook("restore_media", variables=words, options=options, quiet=True)
    assert run.returncode == 0, run.output[-3000:]
    return run


def changed(run: PlaybookRun) -> int:
    return sum(int(count) for count in re.findall(r"changed=(\d+)", run.output))


def asks_for_nothing_else(server: Server) -> None:
    """Who makes media has one question to the service; nobody else has it."""
    ask = "curl -sS --unix-socket /run/slipway/maker.sock http://localhost/v1/chunks/sound"
    ask += " -H 'Content-Type: application/json' -d '{\"digests\": []}'"
    assert json.loads(server.succeed(f"runuser -u slipway -- {ask}")) == {"sound": []}
    server.succeed(f"! runuser -u www-data -- {ask}")


def made_by_itself(server: Server) -> None:
    """An order of the control service is taken up by the builder's own unit."""
    order = json.dumps({"id": "e2e", "image": "pc1", "medium": "usb"})
    folder = "/var/lib/slipway/state/media-orders"
    write = f"mkdir -p {folder}; echo '{order}' > {folder}/new; mv {folder}/new {folder}/again.json"
    server.succeed(f"runuser -u slipway -- sh -c {shlex.quote(write)}")
    outcome = "/var/lib/slipway-media/.outcomes/again.json"
    server.succeed(
        f"for n in $(seq 300); do test -e {outcome} && exit 0; sleep 1; done; exit 1", timeout=400
    )
    assert json.loads(server.succeed(f"cat {outcome}"))["problem"] is None
    server.succeed("cd /var/lib/slipway-media/again && sha256sum --check SHA256SUMS")
    sums = "/var/lib/slipway-media/again/SHA256SUMS"
    server.succeed(
        "ssh-keygen -Y verify -n slipway-media -I slipway -f /etc/slipway/media/signers "
        f"-s {sums}.sig < {sums}"
    )


def test_a_pc_without_a_network_comes_back(
    lab: Lab, pc1: Pc, server: Server, tmp_path: Path
) -> None:
    original = copy(pc1.disk_path, tmp_path)
    ranges = independent.used_ranges(original)
    saved = run_playbook(
        "backup", limit="pc1", variables={"imaging_session_after": "poweroff"}, quiet=True
    )
    assert saved.returncode == 0, saved.output[-3000:]
    pc1.wait_until_off()

    media = tmp_path / "media"
    planned = play(media, "--check", medium="usb")
    assert "one medium, at most" in planned.output and not media.exists()
    assert changed(play(media, medium="usb")) > 0
    assert changed(play(media, medium="usb")) == 0
    iso = media / "pc1.iso"
    subprocess.run(["sha256sum", "--check", "pc1.SHA256SUMS"], cwd=media, check=True)
    shown = run_playbook("images", quiet=True)
    assert "one medium for usb, pc1, " in shown.output
    # What is the server's secret, or the controller's, is not on it.
    content = iso.read_bytes()
    keys = ("tls/ca.key", "runner/ssh/id_ed25519", "media/key")
    for secret in (f"/etc/slipway/{key}" for key in keys):
        line = server.succeed(f"sed -n 2p {secret}").strip().encode()
        assert line and line not in content

    asks_for_nothing_else(server)
    made_by_itself(server)

    pc1.overwrite_disk()
    with MediaPc(tmp_path, pc1.disk_path, iso, serial="SLW-PC1-4711", scsi=True) as alone:
        alone.wait_for("Write pc1@", LONG)
        alone.type("\x1b[B")
        alone.type("\r")
        alone.wait_for("Word:", LONG)
        alone.type("rudder\r")
        alone.wait_for("Done. Take the medium out", LONG)
        alone.wait_until_off(LONG)
    assert independent.differing(original, pc1.disk_path, ranges) == []
    since = pc1.console_offset()
    pc1.power_on()
    pc1.wait_for_own_disk(since, timeout=LONG)
