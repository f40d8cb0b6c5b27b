# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a real image, killed ten times: what the program wrote is counted by the kernel."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from .conftest import Agent, Run
from .disk_builder import Disk


def written(pid: int) -> int:
    """Bytes that a process has given to write() until now."""
    facts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(facts["wchar"])


def start(agent: Agent, usb: Path) -> Run:
    return Agent(agent.store, place=["--from", str(agent.store), "--to", str(usb)]).start(
        "copy", "pc"
    )


def test_killed_ten_times_it_sends_hardly_anything_twice(
    golden: Callable[[str], Disk], agent: Agent, room: Path
) -> None:
    stored = agent("backup", golden("noisy").path, "--name", "pc").ok()["stored"]
    usb, sent = room / "usb", 0
    for step in range(1, 11):
        process = start(agent, usb)
        # Cut where about one more eleventh is done.
        while process.poll() is None and kept(usb) < stored * step // 12:
            time.sleep(0.002)
        assert process.poll() is None, "it was done before it could be killed"
        process.send_signal(signal.SIGSTOP)
        sent += written(process.pid)
        process.kill()
        process.communicate()
        assert Agent(usb)("list").ok()["images"] == []
    process = start(agent, usb)
    while process.poll() is None:
        try:
            last = written(process.pid)
        except (FileNotFoundError, ValueError, KeyError, ProcessLookupError):
            break
        time.sleep(0.001)
    assert process.communicate()[0].count('"verb":"copy"') == 1
    # What was written between the last look and the end is small: a manifest.
    assert stored < sent + last + (1 << 20)
    assert sent + last < stored * 1.05
    copy = Agent(usb)
    copy("verify", "pc").ok()
    target = room / "target"
    with target.open("wb") as file:
        file.truncate(golden("noisy").path.stat().st_size)
    copy("restore", "pc", "--target", f"disk0={target}").ok()
    assert agent("compare", "pc", "--target", f"disk0={target}").code == 0


def kept(usb: Path) -> int:
    """Bytes of the chunks that are there."""
    return sum(path.stat().st_size for path in (usb / "chunks").glob("*/*/*") if path.is_file())
