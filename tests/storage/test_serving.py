# SPDX-License-Identifier: GPL-3.0-or-later
"""What is served from a version is waited for, on a machine that has much to do, too."""

import socket
import subprocess
import threading
from pathlib import Path

import pytest
from slipway.engine.errors import ToolError
from slipway.format import parse_image_ref
from slipway_export.serving import Served, as_file, wait_for


@pytest.fixture
def server(room: Path) -> Served:
    return Served(room, room / "store", parse_image_ref("pc@20260101T000000Z"))


def test_a_socket_is_ready_when_somebody_listens(server: Served) -> None:
    """Between bind and listen whoever connects is refused."""
    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as caller:
        door.bind(str(server.socket))
        late = threading.Timer(0.3, door.listen)
        late.start()
        wait_for(server.socket, None, server, "nbdkit")
        caller.connect(str(server.socket))
        late.join()


def test_a_program_that_ends_says_why(server: Served, room: Path) -> None:
    with (
        pytest.raises(ToolError, match=r"nbdfuse does not start: .*No such file") as found,
        as_file(server, room / "volume", "disk0"),
    ):
        pytest.fail("there was no server")
    assert "\n" not in str(found.value)
    assert subprocess.run(["mountpoint", "-q", room / "volume"]).returncode
