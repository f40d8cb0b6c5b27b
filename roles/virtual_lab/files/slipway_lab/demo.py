# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the main job, from nothing, on the lab's virtual PCs, with what was measured.

It shows steps, bars and a table; with VERBOSE=1 in the environment, all that Ansible says.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_lab.api import Lab, Pc
from slipway_lab.demo_view import View
from slipway_lab.errors import LabError
from slipway_lab.playbook_runs import LAB, ROOT, PlaybookRun, run_playbook

# From a reset to the marker; generous, since software emulation shares its cores with others.
BOOT_SECONDS = 300
LOG = ROOT / ".cache/demo.log"
VERBOSE = os.environ.get("VERBOSE", "") not in ("", "0")

NEXT = """\
The lab is still up, its PCs are off. Try:
  source .venv/bin/activate
  ansible-playbook -i inventory/lab playbooks/images.yml
  ansible-playbook -i inventory/lab playbooks/backup.yml -l pc1
  ansible-playbook -i inventory/lab playbooks/restore.yml -l pc1 -e image=pc1 --check --diff
  less .lab/consoles/pc1.log      # its screen; all that Ansible said: .cache/demo.log
and at the end: make lab-down"""


@dataclass(frozen=True)
class Row:
    """One line of the closing table; bytes are None where a step moves none."""

    step: str
    machine: str
    seconds: float
    read: int | None = None
    sent: int | None = None
    written: int | None = None

    @classmethod
    def of_agent(cls, step: str, machine: str, result: Mapping[str, Any]) -> Row:
        """Return the line that the agent's own result makes."""
        counts = (result.get(key) for key in ("read", "sent", "written"))
        return cls(step, machine, float(result["seconds"]), *counts)


def size(count: int | None) -> str:
    """Return a number of bytes for people: ``412.3 MB``; ``-`` where nothing was counted."""
    if count is None:
        return "-"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text: words to the left, numbers to the right."""
    head = ("step", "machine", "seconds", "read", "sent", "written")
    body = [
        (r.step, r.machine, f"{r.seconds:.1f}", size(r.read), size(r.sent), size(r.written))
        for r in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = []
    for line in [head, tuple("-" * width for width in widths), *body]:
        cells = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


class Playing:
    """Plays playbooks on the lab, and the view that shows it."""

    def __init__(self, view: View, inventories: Sequence[Path] = (LAB,)) -> None:
        """Nothing is started before `run`."""
        self._view = view
        self._inventories = inventories

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show what is done inside as one step."""
        self._view.begin(title)
        yield
        self._view.end()

    def play(self, name: str, **arguments: Any) -> PlaybookRun:
        """Run a playbook that must succeed."""
        watch = None if VERBOSE else self._view.event
        run = run_playbook(
            name, quiet=not VERBOSE, watch=watch, inventories=self._inventories, **arguments
        )
        if run.returncode:
            problems = "; ".join(
                f"{host}: {', '.join(msgs)}" for host, msgs in run.failures.items()
            )
            where = "Its output stands above." if VERBOSE else f"All that was said: {LOG}"
            raise LabError(f"playbooks/{name}.yml failed. {problems}", where)
        return run


class Demo(Playing):
    """The trip."""

    def run(self) -> list[Row]:
        """Bring the lab up and make the trip; return what was measured."""
        with self.step("Bring the lab up: network, image server, two virtual PCs"):
            built = self.play("lab_up")
        with self.step("Configure the image server: site.yml"):
            site = self.play("site")
        lab = Lab.load()
        rows = [Row("lab_up.yml", "lab", built.seconds)]
        rows.append(Row("site.yml", lab.server.name, site.seconds))
        shut_down(lab)
        names = ",".join(pc.name for pc in lab.pcs)
        with self.step(f"Back up {names}, both at the same time"):
            rows += self._work(lab, "backup", {"imaging_session_after": "poweroff"})
        with self.step("Overwrite both disks with random bytes, partition tables too"):
            rows += [_wipe(pc) for pc in lab.pcs]
        since = {pc.name: pc.console_offset() for pc in lab.pcs}
        with self.step(f"Wake and restore {names}"):
            image = {"image": "{{ inventory_hostname }}", "imaging_session_after": "reboot"}
            rows += self._work(lab, "restore", image)
        with self.step("Each boots its own disk and says its marker"):
            with ThreadPoolExecutor(len(lab.pcs)) as threads:
                rows += threads.map(lambda pc: wait_for_marker(pc, since[pc.name]), lab.pcs)
            shut_down(lab)
        return rows

    def _work(self, lab: Lab, verb: str, variables: Mapping[str, object]) -> list[Row]:
        """Run a verb for every PC; return its time and what each agent measured."""
        names = ",".join(pc.name for pc in lab.pcs)
        run = self.play(verb, limit=names, variables=variables)
        results = [(pc.name, run.results[pc.name][f"disk_{verb}"]) for pc in lab.pcs]
        agents = [Row.of_agent("  agent", name, result) for name, result in results]
        return [Row(f"{verb}.yml in all", names, run.seconds), *agents]


def _wipe(pc: Pc) -> Row:
    pc.wait_until_off()
    start = time.monotonic()
    count = pc.overwrite_disk()
    return Row("wipe the disk", pc.name, time.monotonic() - start, written=count)


def wait_for_marker(pc: Pc, since: int) -> Row:
    """Wait until a PC runs from its own disk, and say how long that took."""
    start = time.monotonic()
    pc.wait_for_own_disk(since, BOOT_SECONDS)
    return Row("boots its own disk", pc.name, time.monotonic() - start)


def shut_down(lab: Lab) -> None:
    """Turn the PCs off: one that is on already can't be woken, neither here nor by who goes on."""
    for pc in lab.pcs:
        if pc.is_on:
            pc.shutdown()


def main() -> int:
    """Make the trip and print the table."""
    start = time.monotonic()
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w", encoding="utf-8") as log:
        try:
            rows = Demo(View(sys.stdout, log)).run()
        except LabError as problem:
            print(f"\nThe demo failed: {problem}", file=sys.stderr)
            return 1
    rows.append(Row("everything", "", time.monotonic() - start))
    print(f"\n{table(rows)}\n\n{NEXT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
