# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy, prune, trash and collection on a real service: what goes is what was said to go."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.format.codec import parse, serialize
from slipway.format.frames import digest_of

from .conftest import Service, cell, manifest_of

NOW = "20260601T12000{}Z"


def made(service: Service, name: str, version: str, *contents: bytes) -> str:
    """A version of long ago, its chunks sent long ago too."""
    pc = service.machine()
    for content in contents:
        pc.put(content)
    service.admin.delete(f"/v1/sessions/{pc.session}")
    folder = service.store / "images" / name
    folder.mkdir(exist_ok=True)
    when = f"{version[:4]}-{version[4:6]}-{version[6:8]}T00:00:00Z"
    text = parse(manifest_of(name, *contents)).stamped(version, when, 1)
    (folder / f"{version}.json").write_bytes(serialize(text))
    return f"{name}@{version}"


def say(service: Service, **policy: Any) -> None:
    """Write the policy as the role does."""
    folder = service.folder / "policy"
    folder.mkdir(exist_ok=True)
    new = folder / "new"
    new.write_text(json.dumps(policy))
    new.rename(folder / "images.json")


def age(service: Service, days: float) -> None:
    """Let every chunk have been sent and promised so long ago."""
    then = time.time() - days * 86400
    for path in chunks(service):
        os.utime(path, (then, then))


def chunks(service: Service) -> list[Path]:
    return [path for path in (service.store / "chunks").rglob("*") if path.is_file()]


def listed(service: Service, name: str) -> dict[str, dict[str, Any]]:
    answer = service.admin.get(f"/v1/images/{name}")
    assert answer.status_code == 200, answer.text
    return {each["version"]: each for each in answer.json()["versions"]}


def test_the_whole_thread(own_service: Callable[..., Service], tmp_path: Path) -> None:
    service = own_service(policy_dir=str(tmp_path / "0/policy"))
    contents = [cell(f"thread {number}") for number in range(4)]
    days = [f"2026010{day}T000000Z" for day in (1, 2, 3)]
    for day, content in zip(days, contents, strict=False):
        made(service, "pc1", day, content, contents[3])
    assert service.admin.get("/v1/prune").json()["remove"] == []
    say(service, keep={"last": 1})
    plan = service.admin.get("/v1/prune").json()
    assert [each["version"] for each in plan["remove"]] == [days[1], days[0]]
    assert not plan["waits"]
    done = service.admin.post("/v1/prune", json={}).json()
    assert done["removed"] == [f"pc1@{days[1]}", f"pc1@{days[0]}"]
    assert list(listed(service, "pc1")) == [days[2]]
    assert service.admin.post("/v1/prune", json={}).json()["removed"] == []

    # In the trash it is still whole.
    age(service, 3)
    assert service.admin.post("/v1/collect").json()["removed"] == 0
    back = service.admin.post("/v1/trash/undelete", json={"name": "pc1", "version": days[0]})
    assert back.status_code == 200, back.text
    check = service.admin.post(f"/v1/images/pc1/{days[0]}/check").json()
    assert check["state"] == "sound"
    assert listed(service, "pc1")[days[0]]["checked"] is not None

    [left] = service.admin.get("/v1/trash").json()["trash"]
    assert (left["name"], left["version"], left["by"]) == ("pc1", days[1], "policy")
    assert service.admin.post("/v1/trash/empty", json={}).json()["trash"] == []
    age(service, 3)
    collected = service.admin.post("/v1/collect").json()
    assert (collected["removed"], collected["kept"], collected["missing"]) == (1, 3, 0)
    assert not service.chunk_path(contents[1]).exists()
    sizes = {
        digest_of(each): service.chunk_path(each).stat().st_size
        for each in contents
        if service.chunk_path(each).exists()
    }
    assert collected["kept_bytes"] == sum(sizes.values())
    shown = listed(service, "pc1")
    assert shown[days[0]]["own"] == sizes[digest_of(contents[0])]
