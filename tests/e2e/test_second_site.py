# SPDX-License-Identifier: GPL-3.0-or-later
"""A site pulls from another: two servers with systemd, their units, and a line that breaks."""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway_lab.api import Lab, Server

from .control import Bench, versions
from .second_site import (
    Sites,
    assert_each_is_what_it_is_called,
    chunks,
    kept,
    manifest,
    second_site,
)
from .test_kills import make_disk

pytestmark = pytest.mark.slow
# A lab that stayed up has the images of earlier runs.
NAME = f"lent-{os.urandom(4).hex()}"
USB = "/media/usb/slipway"
UNIT = "slipway-puller.service"
SECONDS = 300


@pytest.fixture(scope="module")
def sites(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    folder = tmp_path_factory.mktemp("sites")
    with second_site(lab, folder) as found:
        token = secrets.token_urlsafe(32)
        lent = {"token_hash": hashlib.sha256(token.encode()).hexdigest(), "images": ["lent-*"]}
        found.play("policy", found.berlin, policy={"policy_sites": {"bonn": lent}})
        ca = found.berlin.server.succeed("cat /etc/slipway/tls/ca.crt")
        found.bonn.server.succeed("cat > /etc/slipway/berlin.crt", stdin=ca)
        pulls = pulls_from(found, token)
        found.play("policy", found.bonn, policy=pulls)
        assert not found.play("policy", found.bonn, policy=pulls).changed
        wait_for_nothing(found.bonn.server)
        yield found
        found.play("policy", found.berlin)


def pulls_from(sites: Sites, token: str, **more: Any) -> dict[str, Any]:
    source = {
        "from": f"https://{sites.berlin.server.address}",
        "ca": "/etc/slipway/berlin.crt",
        "token": token,
        "images": [NAME],
        # Whatever looks at the clock has something to do each time.
        "every_hours": 0.0001,
    }
    return {"policy_replicate": {"berlin": source} | more}


def back_up(lab: Lab, folder: Path, seed: int) -> str:
    """Save a disk of 240 MiB under the image's name; the version."""
    disk = folder / f"disk-{seed}.img"
    make_disk(disk, 1000 * seed)
    bench = Bench(lab, folder, "bench")
    bench.enter("backup", NAME)
    try:
        made = bench.work("backup", str(disk), "--name", NAME)
    finally:
        bench.leave()
    return str(made["version"])


def wait_for_nothing(server: Server) -> None:
    """Let the clock begin nothing in the middle of a test."""
    server.succeed("systemctl is-enabled slipway-puller.timer")
    server.succeed("systemctl stop slipway-puller.timer")


def begin(server: Server) -> None:
    server.succeed(f"systemctl reset-failed {UNIT} 2>/dev/null; systemctl start --no-block {UNIT}")


def state(server: Server, key: str) -> str:
    return server.succeed(f"systemctl show --property {key} --value {UNIT}").strip()


def wait_until(what: str, look: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < deadline, f"{what}: waited for {SECONDS} s"
        time.sleep(0.2)


def goes_on_to(server: Server, least: int) -> None:
    """Wait until so many bytes are there, and something is still at work."""
    wait_until(f"{least} bytes", lambda: kept(server) >= least)
    assert state(server, "ActiveState") == "activating"


def test_what_is_cut_in_five_ways_comes_whole(sites: Sites, tmp_path: Path) -> None:
    berlin, bonn = sites.berlin.server, sites.bonn.server
    before = chunks(berlin).keys()
    version = back_up(sites.berlin, tmp_path, 1)
    new = {digest: path for digest, path in chunks(berlin).items() if digest not in before}
    size = sum(path.stat().st_size for path in new.values())
    before_sent = sites.sent()

    begin(bonn)
    goes_on_to(bonn, size // 8)
    # Its sandbox: the store is shut to it though it runs, and so is what others have as secrets.
    pid = state(bonn, "MainPID")
    inside = f"nsenter --target {pid} --mount -- ls -A"
    for place in ("/var/lib/slipway", "/etc/slipway/tls"):
        assert bonn.succeed(f"{inside} {place}") == "", place
    assert bonn.succeed(f"ps -o user= -p {pid}").strip().startswith("slipway")
    # The program is killed.
    bonn.succeed(f"systemctl kill --signal=KILL {UNIT}")
    wait_until("its end", lambda: state(bonn, "ActiveState") == "failed")
    assert versions(bonn, NAME) == [], "a part of a version is none"
    begin(bonn)
    goes_on_to(bonn, size * 2 // 8)
    # The line is cut for a while.
    sites.line("down")
    time.sleep(10)
    sites.line("up")
    goes_on_to(bonn, size * 3 // 8)
    # The service of either side is killed.
    bonn.succeed("systemctl kill --signal=KILL slipway.service")
    goes_on_to(bonn, size * 4 // 8)
    berlin.succeed("systemctl kill --signal=KILL slipway.service")
    goes_on_to(bonn, size * 5 // 8)
    assert versions(bonn, NAME) == []
    # The server that pulls loses its power.
    sites.cut_power_of_bonn()
    wait_for_nothing(bonn)
    assert versions(bonn, NAME) == []
    begin(bonn)
    goes_on_to(bonn, size * 6 // 8)
    wait_until("its end", lambda: state(bonn, "ActiveState") == "inactive")

    assert (state(bonn, "Result"), state(bonn, "ExecMainStatus")) == ("success", "0")
    assert versions(bonn, NAME) == [version]
    assert manifest(bonn, NAME, version) == manifest(berlin, NAME, version)
    assert set(chunks(bonn)) >= set(new) and kept(bonn) >= size
    assert_each_is_what_it_is_called(bonn)
    check = sites.play("images", sites.bonn, f"-e image={NAME}@{version} -e check=true")
    assert "sound" in check.output, check.output
    # What was under way when something died is sent again, and no more.
    sent = sites.sent() - before_sent
    print(f"{size} bytes of chunks, {sent} sent: {100 * (sent - size) / size:.1f} % twice")
    assert size <= sent < size * 1.05


def test_it_is_pulled_by_a_word_and_by_the_clock(sites: Sites, tmp_path: Path) -> None:
    bonn = sites.bonn.server
    known = versions(bonn, NAME)
    second = back_up(sites.berlin, tmp_path, 2)
    looked = sites.play("pull", sites.bonn, "--check --diff")
    assert f"+{NAME}@{second} of berlin" in looked.output, looked.output
    assert versions(bonn, NAME) == known
    assert sites.play("pull", sites.bonn, "--diff -e site=berlin").changed
    assert set(versions(bonn, NAME)) == {*known, second}
    assert not sites.play("pull", sites.bonn).changed

    third = back_up(sites.berlin, tmp_path, 3)
    # Ten minutes would be long to wait for; all else is the timer's own.
    bonn.succeed(
        "mkdir -p /run/systemd/system/slipway-puller.timer.d && "
        "printf '[Timer]\\nOnActiveSec=3s\\nRandomizedDelaySec=0\\n' "
        "> /run/systemd/system/slipway-puller.timer.d/soon.conf && "
        "systemctl daemon-reload && systemctl restart slipway-puller.timer"
    )
    wait_until("the clock", lambda: third in versions(bonn, NAME))
    wait_until("its end", lambda: state(bonn, "ActiveState") == "inactive")
    timers = json.loads(bonn.succeed("systemctl list-timers --output=json slipway-puller.timer"))
    assert timers[0]["activates"] == UNIT and timers[0]["next"]
    journal = bonn.succeed(f"journalctl --no-pager --boot --unit={UNIT}")
    assert f"{NAME}@{third} came" in journal
    assert "Traceback" not in journal and "denied" not in journal.lower()


def test_a_disk_is_carried_from_site_to_site(sites: Sites, tmp_path: Path) -> None:
    """What replicate.yml wrote for root alone is read by a user of its own, and nothing else."""
    berlin, bonn = sites.berlin.server, sites.bonn.server
    version = back_up(sites.berlin, tmp_path, 4)
    berlin.succeed(f"rm -rf {USB}; mkdir -p {Path(USB).parent}")
    sites.play("replicate", sites.berlin, f"-e image={NAME} -e to={USB} -e same_disk=true")
    shutil.copytree(berlin.root / USB[1:], bonn.root / USB[1:])
    bonn.succeed(f"chown -R root:root {USB} && chmod -R go-rwx {USB}")
    usb = {"from": USB, "images": [NAME], "every_hours": 0.0001}
    sites.play("policy", sites.bonn, policy={"policy_replicate": {"usb": usb}})
    wait_for_nothing(bonn)
    looked = sites.play("pull", sites.bonn, "--check --diff")
    assert f"+{NAME}@{version} of usb" in looked.output, looked.output
    begin(bonn)
    wait_until("the disk", lambda: version in versions(bonn, NAME))
    wait_until("its end", lambda: state(bonn, "ActiveState") == "inactive")
    assert state(bonn, "ExecMainStatus") == "0"
    assert manifest(bonn, NAME, version) == manifest(berlin, NAME, version)
    assert_each_is_what_it_is_called(bonn)
    # A disk that is not there is told, by the unit, too, and fails nothing else.
    bonn.succeed("rm -rf /media/usb/slipway")
    begin(bonn)
    wait_until("its end", lambda: state(bonn, "ActiveState") == "inactive")
    assert state(bonn, "ExecMainStatus") == "1"
    berlin.succeed(f"rm -rf {USB}")
