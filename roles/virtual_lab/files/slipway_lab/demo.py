"""`make demo`: the main job, from nothing, on the lab's virtual PCs, with what was measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from slipway_lab.api import Lab, Pc
from slipway_lab.errors import LabError
from slipway_lab.playbook_runs import PlaybookRun, run_playbook

# From a reset to the marker; generous, since software emulation shares its cores with others.
BOOT_SECONDS = 300

NEXT = """\
The lab is still up, its PCs are off. Try:
  source .venv/bin/activate
  ansible-playbook -i inventory/lab playbooks/images.yml
  ansible-playbook -i inventory/lab playbooks/backup.yml -l pc1
  ansible-playbook -i inventory/lab playbooks/restore.yml -l pc1 -e image=pc1 --check --diff
  less .lab/consoles/pc1.log
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


def say(text: str) -> None:
    """Announce a step between the playbooks' own output."""
    print(f"\n=== {text}", flush=True)


def play(name: str, **arguments: Any) -> PlaybookRun:
    """Run a playbook that must succeed."""
    run = run_playbook(name, **arguments)
    if run.returncode:
        problems = "; ".join(f"{host}: {', '.join(msgs)}" for host, msgs in run.failures.items())
        raise LabError(f"playbooks/{name}.yml failed. {problems}", "Its output stands above.")
    return run


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


def trip(lab: Lab) -> list[Row]:
    """Back up, wipe, restore and boot every PC of the lab; return what was measured."""
    names = ",".join(pc.name for pc in lab.pcs)
    rows = []
    shut_down(lab)

    say(f"Back up {names}, both at the same time")
    backup = play("backup", limit=names, variables={"imaging_session_after": "poweroff"})
    rows.append(Row("backup.yml in all", names, backup.seconds))
    for pc in lab.pcs:
        rows.append(Row.of_agent("  agent", pc.name, backup.results[pc.name]["disk_backup"]))

    say("Overwrite both disks with random bytes, partition tables too")
    for pc in lab.pcs:
        pc.wait_until_off()
        start = time.monotonic()
        count = pc.overwrite_disk()
        rows.append(Row("wipe the disk", pc.name, time.monotonic() - start, written=count))

    say(f"Wake and restore {names}")
    since = {pc.name: pc.console_offset() for pc in lab.pcs}
    image = {"image": "{{ inventory_hostname }}", "imaging_session_after": "reboot"}
    restore = play("restore", limit=names, variables=image)
    rows.append(Row("restore.yml in all", names, restore.seconds))
    for pc in lab.pcs:
        rows.append(Row.of_agent("  agent", pc.name, restore.results[pc.name]["disk_restore"]))

    say("Wait until each boots its own disk and says its marker")
    with ThreadPoolExecutor(len(lab.pcs)) as threads:
        rows += threads.map(lambda pc: wait_for_marker(pc, since[pc.name]), lab.pcs)
    shut_down(lab)
    return rows


def main() -> int:
    """Bring the lab up, make the trip, and print the table."""
    start = time.monotonic()
    try:
        say("Bring the lab up")
        built = play("lab_up")
        site = play("site")
        lab = Lab.load()
        rows = [
            Row("lab_up.yml", "lab", built.seconds),
            Row("site.yml", lab.server.name, site.seconds),
            *trip(lab),
        ]
    except LabError as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        return 1
    rows.append(Row("everything", "", time.monotonic() - start))
    print(f"\n{table(rows)}\n\n{NEXT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
