# SPDX-License-Identifier: GPL-3.0-or-later
"""What looking after many images costs: lists, the retention plan, a collection, memory.

Run as `python -m tests.bench.keeping [MACHINES] [VERSIONS]`, without root: 2,000 machines with ten
versions each, unless told otherwise. The chunks are few; what is measured is manifests and lists.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from slipway.format import digest_of, make_frame, serialize
from slipway.format.codec import parse

from ..unit.server.conftest import Service, cell, manifest_of

_CONTENTS = [cell(f"bench {number}") for number in range(8)]


def main() -> None:
    machines, versions = (*map(int, sys.argv[1:]), 2000, 20_000)[:2]
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), policy_dir=folder)
        service.start()
        try:
            _fill(service, machines, versions)
            policy = {"keep": {"last": 3, "daily": 7, "weekly": 4, "monthly": 6}}
            (Path(folder) / "images.json").write_text(json.dumps(policy))
            print(f"{machines} machines, {versions} versions")
            show = partial(_show, service.pid)
            show("list, the first time", lambda: service.admin.get("/v1/images", timeout=600))
            answer = show("list", lambda: service.admin.get("/v1/images"))
            print(f"{'':28}{len(answer.content) >> 20} MiB of JSON")
            show("list of one image", lambda: service.admin.get("/v1/images/pc0"))
            plan = show("retention plan", lambda: service.admin.get("/v1/prune")).json()
            print(f"{'':28}{len(plan['remove'])} of {versions} would go")
            done = show("collection", lambda: service.admin.post("/v1/collect", timeout=600))
            print(f"{'':28}{done.json()['versions']} manifests read")
            print(f"{'memory':28}{_memory(service.pid)} MiB at most")
        finally:
            service.close()


def _fill(service: Service, machines: int, versions: int) -> None:
    pc = service.machine()
    for content in _CONTENTS:
        pc.request("PUT", f"/v1/chunks/{digest_of(content)}", content=make_frame(content))
    service.admin.delete(f"/v1/sessions/{pc.session}")
    template = parse(manifest_of("pc", *_CONTENTS))
    now = datetime.now(UTC)
    for number in range(versions):
        name, made = f"pc{number % machines}", now - timedelta(days=1 + number // machines)
        folder = service.store / "images" / name
        folder.mkdir(exist_ok=True)
        version = made.strftime("%Y%m%dT%H%M%SZ")
        stamped = replace(template, name=name).stamped(version, made.isoformat()[:19] + "Z", 1)
        (folder / f"{version}.json").write_bytes(serialize(stamped))


def _show(pid: int, what: str, ask: Callable[[], httpx.Response]) -> Any:
    began, worked = time.monotonic(), _processor(pid)
    answer = ask()
    assert answer.status_code == 200, answer.text
    worked = _processor(pid) - worked
    print(f"{what:28}{time.monotonic() - began:.2f} s, {worked:.2f} s of a processor")
    return answer


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


if __name__ == "__main__":
    os.nice(5)
    main()
