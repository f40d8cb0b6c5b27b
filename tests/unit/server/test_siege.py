# SPDX-License-Identifier: GPL-3.0-or-later
"""The siege's attacks in their short form: a tenth of all. `make siege` has them whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from ...siege.attacks import ATTACKS, Target
from ...siege.besieged import Besieged, besieged, withstand

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("siege")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    with besieged(tmp_path_factory.mktemp("siege")) as made:
        yield made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
def test_a_boot_and_a_backup_go_on(
    server: Besieged, attack: Callable[[Target, threading.Event], None]
) -> None:
    withstand(server, attack, seconds=4, scale=0.1, chunks=8)
