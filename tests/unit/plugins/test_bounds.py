# SPDX-License-Identifier: GPL-3.0-or-later
"""No answer is waited for without end or size: programs, and the connection over a real sshd."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible_collections.slipway.imaging.plugins.connection.session import Connection
from ansible_collections.slipway.imaging.plugins.plugin_utils._bounded_run import (
    TooLong,
    TooMuch,
    bounded_run,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._host_key_file import (
    forget_host_key,
    note_host_key,
)

from .pc import SSHD, VERSION, Pc, Site

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbWJ6bQ0q7Qz5n9V0b8Yy3c1d2e3f4a5b6c7d8e9f0A"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time\n{code}"]


def run(code: str, given: bytes = b"", seconds: float = 60, limit: int = 1 << 20) -> Any:
    return bounded_run(python(code), given, seconds=seconds, limit=limit)


def test_a_program_that_behaves() -> None:
    echo = "data = sys.stdin.buffer.read(); os.write(2, b'e'); sys.stdout.buffer.write(data[::-1])"
    given = os.urandom(700_000)
    assert run(f"{echo}; sys.stdout.flush(); sys.exit(3)", given) == (3, given[::-1], b"e")


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(1000)",
        "os.close(1); os.close(2); time.sleep(1000)",
        "while True: os.write(1, b'.'); time.sleep(0.05)",
    ],
)
def test_time_has_an_end(code: str) -> None:
    with pytest.raises(TooLong, match="2 seconds"):
        run(code, b"x" * 10_000_000, seconds=2)


@pytest.mark.parametrize("stream", [1, 2])
def test_size_has_an_end(stream: int) -> None:
    with pytest.raises(TooMuch, match="100000 bytes"):
        run(f"while True: os.write({stream}, b'x' * 4096)", limit=100_000)


def test_what_is_left_behind_is_not_waited_for() -> None:
    """As SSH's master connection, which keeps the pipe of errors open."""
    began = time.monotonic()
    code = "print('done', flush=True)\nif os.fork() == 0: os.close(1); time.sleep(8)\nos._exit(0)"
    assert run(code)[:2] == (0, b"done\n")
    assert time.monotonic() - began < 8


def test_a_program_that_does_not_listen_says_why_itself() -> None:
    assert run("os.close(0); os.write(2, b'no'); sys.exit(4)", b"x" * 10_000_000) == (4, b"", b"no")


# --- the file of the host key -----------------------------------------------------------------
def test_the_noted_file_and_nothing_else_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "keys/pc1"
    note_host_key(path, "pc1", KEY, f"{KEY} me@here")
    assert path.read_text() == f"pc1 {KEY}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("pc1.pub").read_text() == f"{KEY}\n"
    assert not forget_host_key(path, "pc2")
    assert forget_host_key(path, "pc1")
    assert list(path.parent.iterdir()) == []


def test_what_is_no_host_key_stays(tmp_path: Path) -> None:
    folder, note, link = tmp_path / "folder", tmp_path / "note", tmp_path / "link"
    folder.mkdir()
    note.write_text("my own three words")
    link.symlink_to(note)
    for path in (folder, note, link, tmp_path / "nothing"):
        assert not forget_host_key(path, "pc1")
    assert {folder, note, link} <= set(tmp_path.iterdir())
    note_host_key(link, "pc1", KEY)
    assert note.read_text() == "my own three words", "a link is replaced, not followed"


# --- over a real sshd ---------------------------------------------------------------------------
alone = pytest.mark.skipif(
    os.geteuid() != 0 or SSHD is None, reason="sshd lets in its own user alone"
)


@pytest.fixture
def connection(
    site: Site, pc: Pc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    note_host_key(tmp_path / "keys/pc1", "pc1", " ".join(pc.host_key.split()[:2]))
    options = {
        "host": pc.address,
        "port": pc.port,
        "machine": "pc1",
        "mark": "0123456789ab",
        "known_hosts": str(tmp_path / "keys/pc1"),
        "private_key_file": str(site.login),
        "control_path_dir": str(tmp_path / "cp"),
        "host_key_type": "ssh-ed25519",
        "remote_user": "root",
        "ssh_executable": "ssh",
        "ssh_common_args": "",
    }
    made = Connection(PlayContext())
    monkeypatch.setattr(made, "get_option", options.get)
    yield made
    made.reset()


@alone
def test_the_connection_bounds_what_a_pc_does(connection: Any, pc: Pc) -> None:
    pc.answer(hello={"out": "hi", "err": "there", "code": 3})
    assert connection.exec_command("true") == (3, b"hi", b"there")
    pc.answer(hello={"flood": 600})
    with pytest.raises(AnsibleConnectionFailure, match="longer than 1048576 bytes"):
        connection.exec_command("true")
    connection.seconds = 3
    pc.answer(hello={"out": "x", "hang": 600}, module={"deaf": True, "hang": 600})
    with pytest.raises(AnsibleConnectionFailure, match="no answer within 3 seconds"):
        connection.exec_command("true")
    with pytest.raises(AnsibleConnectionFailure, match="no answer within 3 seconds"):
        connection.exec_command("python3", in_data=b"x" * 30_000_000)


@alone
def test_folders_of_others_hold_no_control_socket(connection: Any, tmp_path: Path) -> None:
    (tmp_path / "cp").mkdir()
    (tmp_path / "cp").chmod(0o777)
    with pytest.raises(AnsibleConnectionFailure, match="Others may write"):
        connection.exec_command("true")
    (tmp_path / "cp").chmod(0o700)


@alone
@pytest.mark.plays
def test_a_farewell_that_hangs_does_not_hold_the_run(site: Site, pc: Pc) -> None:
    pc.module_says({"unit": "slipway-job-1", "changed": True})
    result = {
        "type": "result",
        "verb": "backup",
        "changed": True,
        "image": "pc1",
        "version": VERSION,
    }
    site.serve(pc, lambda: {"result": result})
    pc.answer(farewell={"hang": 100_000})
    done = site.play(pc, "backup")
    assert done.returncode == 0, done.stdout
    assert pc.commands[-1][0] == "farewell"
    assert list(site.known_hosts_dir.iterdir()) == []
