# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules, held by tests: who may import whom, and specs that are complete."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "client_image/agent/slipway"
SERVER = ROOT / "roles/image_server/files/slipway_server"
PLUGINS = ROOT / "plugins"
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.name != "_common")

# `format` computes; anything that reads, writes or talks belongs to `engine`.
IO_MODULES = {"http", "io", "os", "pathlib", "shutil", "socket", "ssl", "subprocess", "tempfile"}


def imports(file: Path, package_root: Path) -> Iterator[str]:
    """Yield the absolute name of every module that a file imports."""
    package = file.relative_to(package_root).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def offenders(folder: Path, package_root: Path, forbidden: tuple[str, ...]) -> list[str]:
    """Return `file: module` for every import of a forbidden module or of one inside it."""
    return [
        f"{file.relative_to(ROOT)}: {name}"
        for file in sorted(folder.rglob("*.py"))
        for name in imports(file, package_root)
        if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
    ]


def test_format_knows_no_io_and_no_other_layer() -> None:
    forbidden = (*IO_MODULES, "slipway.engine", "slipway.cli")
    assert offenders(AGENT / "format", AGENT.parent, forbidden) == []


def test_engine_knows_neither_command_line_nor_ansible() -> None:
    forbidden = ("slipway.cli", "ansible", "argparse", "sys.exit")
    assert offenders(AGENT / "engine", AGENT.parent, forbidden) == []


def test_server_depends_on_the_format_alone() -> None:
    forbidden = ("slipway.engine", "slipway.cli", "ansible")
    assert offenders(SERVER, SERVER.parent, forbidden) == []


def test_ansible_never_imports_the_agent_or_the_server() -> None:
    assert offenders(PLUGINS, PLUGINS.parent, ("slipway", "slipway_server")) == []


@pytest.mark.parametrize("layer", [AGENT / "format", AGENT / "engine", SERVER, PLUGINS])
def test_the_rules_above_looked_at_something(layer: Path) -> None:
    assert list(layer.rglob("*.py"))


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_default_is_specified_and_every_option_documented(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = {key: option for spec in specs.values() for key, option in spec["options"].items()}
    defaults_file = role / "defaults/main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text()) or {}) if defaults_file.exists() else {}
    without_default = {key for key, option in options.items() if option.get("required")}
    assert set(defaults) == set(options) - without_default
    assert [key for key, option in options.items() if not option.get("description")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_variables_carry_the_name_of_their_role(role: Path) -> None:
    defaults_file = role / "defaults/main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text()) or {}) if defaults_file.exists() else {}
    assert [key for key in defaults if not key.startswith(role.name + "_")] == []


def test_playbooks_stay_short() -> None:
    lengths = {
        file.name: len(file.read_text().splitlines()) for file in ROOT.glob("playbooks/*.yml")
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 45} == {}


def test_storage_tests_have_one_way_to_run_a_backup() -> None:
    """It hashes every source before and after: tests/storage/conftest.py."""
    files = {file.name: file.read_text() for file in ROOT.glob("tests/storage/*.py")}
    ways = ('"-m", "slipway"', "slipway.engine.backup", 'main(["backup"')
    users = {name for name, text in files.items() if any(way in text for way in ways)}
    assert users == {"conftest.py"}


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
