# SPDX-License-Identifier: GPL-3.0-or-later
"""Root never follows a link that a service may have put into a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.name != "_common")

# Folders in which a service may put what it likes, a link to anything included.
SERVICE_FOLDERS = (
    "{{ image_server_store_dir }}/",
    "{{ _image_server_state_dir }}/",
    "{{ _image_server_tftp_dir }}/",
    "{{ _job_runner_state }}/",
)
SERVICE_USERS = ("{{ _image_server_user }}", "{{ _job_runner_user }}")
_TOUCHING = {"file", "copy", "template", "lineinfile", "blockinfile", "unarchive", "get_url"}


def tasks_of(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every task of a file, those in blocks as well."""
    for item in items:
        yield item
        for part in ("block", "rescue", "always"):
            yield from tasks_of(item.get(part, []))


def touched(task: dict[str, Any]) -> list[tuple[str, str]]:
    """Key and path of all that a task reads or writes, each item of its loop put in."""
    module = next((task[key] for key in task if key.rpartition(".")[2] in _TOUCHING), {})
    loop = task.get("loop", [])
    found = []
    for key in ("path", "dest", "src"):
        for item in loop if isinstance(loop, list) and loop else [None]:
            path = str(module.get(key, ""))
            if isinstance(item, dict):
                path = path.replace("{{ item.path }}", str(item.get("path", "")))
            elif item is not None:
                path = path.replace("{{ item }}", str(item))
            found.append((key, path))
    return [(key, path) for key, path in found if key != "src" or module.get("remote_src")]


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_root_follows_no_link_of_a_service(role: Path) -> None:
    """What root changes below a service's folder is never what a link there points at."""
    for file in sorted(role.glob("tasks/*.yml")):
        for task in tasks_of(yaml.safe_load(file.read_text()) or []):
            module = next((task[key] for key in task if key.rpartition(".")[2] in _TOUCHING), {})
            inside = [key for key, path in touched(task) if path.startswith(SERVICE_FOLDERS)]
            where = f"{file.name}: {task.get('name')}"
            assert "src" not in inside, f"{where} reads a service's file as root"
            assert not inside or module.get("follow") is False, f"{where} needs follow: false"


def test_folders_of_services_are_all_known_to_the_rule_above() -> None:
    owned = {
        str(item["path"])
        for role in ROLES
        for file in role.glob("tasks/*.yml")
        for task in tasks_of(yaml.safe_load(file.read_text()) or [])
        for item in (task["loop"] if isinstance(task.get("loop"), list) else [])
        if isinstance(item, dict) and item.get("owner") in SERVICE_USERS
    }
    # The store's are owned by the service unless they say otherwise.
    assert owned == {"{{ _job_runner_state }}"}
    assert all(path + "/" in SERVICE_FOLDERS for path in owned)
