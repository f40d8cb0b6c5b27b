# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules, held by tests: who may import whom, specs that are complete, tests alike."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "client_image/agent/slipway"
SERVER = ROOT / "roles/image_server/files/slipway_server"
EXPORT = ROOT / "roles/image_server/files/slipway_export"
WEB = ROOT / "roles/web_page/files/slipway_web"
TELLER = ROOT / "roles/policy/files/slipway_teller"
PULLER = TELLER.with_name("slipway_puller")
BUILDER = ROOT / "client_image/build/slipway_media"
PLUGINS = ROOT / "plugins"
TESTS = ROOT / "tests"
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.name != "_common")

# `format` computes; anything that reads, writes or talks belongs to `engine`.
IO_MODULES = {"http", "io", "os", "pathlib", "shutil", "socket", "ssl", "subprocess", "tempfile"}


@cache
def imports(file: Path, package_root: Path) -> tuple[str, ...]:
    """The absolute name of every module that a file imports."""
    package = file.relative_to(package_root).with_suffix("").parts[:-1]
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def offenders(folder: Path, package_root: Path, forbidden: tuple[str, ...]) -> list[str]:
    """Return `file: module` for every import of a forbidden module or of one inside it."""
    return [
        f"{file.relative_to(ROOT)}: {name}"
        for file in sorted(folder.rglob("*.py"))
        for name in imports(file, package_root)
        if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
    ]


def test_format_knows_no_io_and_no_other_layer() -> None:
    forbidden = (*IO_MODULES, "slipway.engine", "slipway.net", "slipway.cli")
    assert offenders(AGENT / "format", AGENT.parent, forbidden) == []


def test_engine_knows_neither_server_nor_command_line_nor_ansible() -> None:
    forbidden = ("slipway.net", "slipway.cli", "ansible", "argparse", "sys.exit")
    assert offenders(AGENT / "engine", AGENT.parent, forbidden) == []


def test_net_knows_neither_command_line_nor_ansible() -> None:
    forbidden = ("slipway.cli", "ansible", "argparse", "sys.exit")
    assert offenders(AGENT / "net", AGENT.parent, forbidden) == []


def test_the_map_of_the_house_names_files_that_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    # Without those of which a reader makes the name.
    named = re.findall(r"`([a-z_]+/[a-z0-9_./-]+)`", text)
    roots = (
        ROOT,
        AGENT.parent,
        AGENT / "engine",
        SERVER.parent,
        SERVER,
        PLUGINS,
        ROOT / "roles/job_runner/files",
        ROOT / "roles/imaging_session",
        WEB.parent,
        TELLER.parent,
    )
    assert len(named) > 20
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


def test_server_depends_on_the_format_alone() -> None:
    forbidden = ("slipway.engine", "slipway.cli", "ansible")
    assert offenders(SERVER, SERVER.parent, forbidden) == []


def test_exports_stand_on_the_engine_and_know_neither_service_nor_command_line() -> None:
    forbidden = ("slipway_server", "slipway.cli", "slipway.net", "ansible")
    assert offenders(EXPORT, EXPORT.parent, forbidden) == []
    # Nor does anybody stand on them.
    for folder in (AGENT, SERVER):
        assert offenders(folder, folder.parent, ("slipway_export",)) == []


def test_the_page_knows_neither_the_service_nor_the_agent_nor_ansible() -> None:
    forbidden = (
        "slipway_server",
        "slipway_export",
        "slipway_runner",
        "slipway",
        "ansible",
        "subprocess",
        "ansible_runner",
    )
    assert offenders(WEB, WEB.parent, forbidden) == []
    for folder in (AGENT, SERVER, EXPORT):
        assert offenders(folder, folder.parent, ("slipway_web",)) == []
    # What is put together to a page is put together by templates, which escape it.
    code = {path.name: path.read_text() for path in WEB.rglob("*.py")}
    assert [name for name, text in code.items() if "Markup" in text] == []
    templates = {path.name: path.read_text() for path in WEB.rglob("*.html")}
    assert [name for name, text in templates.items() if "safe" in text or "style=" in text] == []


def test_what_tells_people_knows_its_socket_and_the_standard_library_alone() -> None:
    forbidden = (
        "slipway_server",
        "slipway_export",
        "slipway_runner",
        "slipway_web",
        "slipway",
        "ansible",
        "subprocess",
        "httpx",
        "pydantic",
    )
    assert offenders(TELLER, TELLER.parent, forbidden) == []
    for folder in (AGENT, SERVER, EXPORT, WEB):
        assert offenders(folder, folder.parent, ("slipway_teller",)) == []


def test_what_pulls_knows_the_agents_engine_and_its_socket() -> None:
    forbidden = ("slipway_server", "slipway_export", "slipway_teller", "slipway.cli", "ansible")
    assert offenders(PULLER, PULLER.parent, (*forbidden, "subprocess", "pydantic")) == []
    for folder in (AGENT, SERVER, EXPORT, WEB, TELLER):
        assert offenders(folder, folder.parent, ("slipway_puller",)) == []


def test_the_builder_of_media_knows_the_service_by_its_socket() -> None:
    forbidden = ("slipway_server", "slipway_export", "slipway_puller", "slipway.cli", "ansible")
    assert offenders(BUILDER, BUILDER.parent, forbidden) == []
    for folder in (AGENT, SERVER, EXPORT, WEB, TELLER, PULLER):
        assert offenders(folder, folder.parent, ("slipway_media",)) == []


def test_ansible_never_imports_the_agent_or_the_server() -> None:
    others = ("slipway", "slipway_server", "slipway_export", "slipway_web", "slipway_teller")
    assert offenders(PLUGINS, PLUGINS.parent, others) == []


def rooms_of_the_service() -> dict[str, set[str]]:
    """Each room of the control service, a folder or a file beside them, and those it goes to."""
    found: dict[str, set[str]] = {}
    for file in sorted(SERVER.rglob("*.py")):
        own = room_of(".".join(file.relative_to(SERVER.parent).with_suffix("").parts))
        found.setdefault(own, set())
        for name in imports(file, SERVER.parent):
            if name.startswith("slipway_server.") and room_of(name):
                found[own] |= {room_of(name)} - {own}
    return found


def room_of(module: str) -> str:
    """The first name below the package that is a folder or a file; empty: the package itself."""
    name = module.split(".")[1] if "." in module else ""
    there = (SERVER / name).is_dir() or (SERVER / f"{name}.py").exists()
    return name if name and name != "__init__" and there else ""


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
    """How many rooms lie below each, on the longest way down. ValueError: a circle."""
    found: dict[str, int] = {}

    def floor(room: str, way: tuple[str, ...]) -> int:
        if room in way:
            raise ValueError(" -> ".join([*way, room]))
        if room not in found:
            found[room] = max((floor(each, (*way, room)) + 1 for each in arrows[room]), default=0)
        return found[room]

    for room in arrows:
        floor(room, ())
    return found


# From the roof down: a room goes to rooms on lower floors alone.
FLOORS = (
    {"__main__"},
    {"server"},
    {"apps"},
    {"api"},
    {"service"},
    {"choices", "transfers"},
    {"sessions"},
    {"images", "jobs", "network", "registrations"},
    {"base"},
)


def test_rooms_of_the_service_go_down_alone() -> None:
    arrows = rooms_of_the_service()
    arrows.pop("")
    storey = {room: number for number, rooms in enumerate(reversed(FLOORS)) for room in rooms}
    assert storey.keys() == arrows.keys()
    pairs = [(room, to) for room, those in arrows.items() for to in those]
    assert [(room, to) for room, to in pairs if storey[room] <= storey[to]] == []
    assert max(floors(arrows).values()) < 11
    assert len(pairs) <= 40


def test_no_module_of_the_service_leads_back_to_itself() -> None:
    files = {
        ".".join(file.relative_to(SERVER.parent).with_suffix("").parts): file
        for file in SERVER.rglob("*.py")
    }
    floors(
        {
            name: {each for each in imports(file, SERVER.parent) if each in files} - {name}
            for name, file in files.items()
        }
    )
    with pytest.raises(ValueError, match="a -> b -> a"):
        floors({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize(
    "layer",
    [AGENT / "format", AGENT / "engine", AGENT / "net", SERVER, EXPORT, WEB, TELLER, PLUGINS],
)
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


# Programs of their own, started where nobody has set a path for them.
PROGRAMS = {TESTS / "storage/guest/main.py", TESTS / "storage/warm.py"}


@cache
def code_of_tests() -> list[tuple[Path, ast.AST]]:
    """Each statement and expression of the tests and of what helps them, with its file."""
    files = sorted(TESTS.rglob("*.py"))
    return [(file, node) for file in files for node in ast.walk(ast.parse(file.read_text()))]


def test_helpers_of_tests_are_imported_relatively() -> None:
    """Then each is loaded once, under the name by which pytest knows it."""
    own = {path.stem for path in TESTS.rglob("*.py")} | {path.name for path in TESTS.glob("**/")}
    # To write a statement anew takes long; most files have nothing of it.
    named = {path for path in TESTS.rglob("*.py") if "sys.path" in path.read_text()} - {*PROGRAMS}
    found = []
    for file, node in code_of_tests():
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            absolute = isinstance(node, ast.ImportFrom) and not node.level
            names = [node.module or ""] if absolute else []
        found += [f"{file}: {name}" for name in names if name.partition(".")[0] in own]
        changes = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign)
        if changes and file in named and ast.unparse(node).startswith("sys.path"):
            found.append(f"{file}: sys.path")
    assert found == []


def test_fake_programs_are_made_in_one_place() -> None:
    named = [(file, node) for file, node in code_of_tests() if isinstance(node, ast.FunctionDef)]
    makers = [file for file, node in named if node.name == "mock_command"]
    assert makers == [TESTS / "unit/conftest.py"]


def test_ruff_lays_out_every_line_of_a_test() -> None:
    mark = re.compile("# *" + "fmt:")
    assert [file for file in TESTS.rglob("*.py") if mark.search(file.read_text())] == []
