# SPDX-License-Identifier: GPL-3.0-or-later
"""All attacks at their full size, on a service under its unit's limits: `make siege`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .attacks import ATTACKS, Target
from .besieged import Besieged, besieged, withstand
from .cgroup import confined
from .tftp import dead_transfers, fetch_loader, tftp_server

pytestmark = pytest.mark.siege
UNIT = (
    Path(__file__).resolve().parents[2]
    / "roles/image_server/templates/etc/systemd/system/slipway.service.j2"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    folder = tmp_path_factory.mktemp("siege")
    with confined(UNIT.read_text()) as confine, besieged(folder, confine=confine) as made:
        yield made


@pytest.fixture(scope="module")
def tftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tftp_server(tmp_path_factory.mktemp("tftp")):
        yield


def test_a_boot_from_its_loader_on_goes_on(server: Besieged, tftp: None) -> None:
    withstand(server, dead_transfers, seconds=30, scale=1.0, chunks=16, loader=fetch_loader)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
def test_a_boot_and_a_backup_go_on(
    server: Besieged, attack: Callable[[Target, threading.Event], None]
) -> None:
    withstand(server, attack, seconds=30, scale=1.0, chunks=16)


def test_and_under_all_at_once(server: Besieged, tftp: None) -> None:
    def everything(target: Target, stop: threading.Event) -> None:
        attacks = (*ATTACKS, dead_transfers)
        crew = [threading.Thread(target=attack, args=(target, stop)) for attack in attacks]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()

    withstand(server, everything, seconds=30, scale=1.0, chunks=16, loader=fetch_loader)
