# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as people get it: built, installed into an empty folder, and used from there."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("collection")]

ROOT = Path(__file__).resolve().parents[3]
KINDS = {"modules": "module", "filter": "filter", "test": "test", "inventory": "inventory"}
# What a checkout has and a collection must not: caches, the lab, tests, its own link to itself.
FOREIGN = (".cache", ".ci", ".collections", ".git", ".lab", ".venv", "tests", "media")
# Where ansible-test 2.19 looks for pip before it asks the network.
PIP = "get_pip_24_2.py"
PIP_CONFIGS = (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf")
# pylint: ruff and mypy look at the same. pslint and shellcheck: PowerShell, and a program to install.
NOT_HERE = ("pylint", "pslint", "shellcheck")

INVENTORY = """
image_servers:
  hosts:
    img:
      ansible_connection: local
      ansible_python_interpreter: /usr/bin/python3
      image_server_address: 192.0.2.1
machines:
  hosts:
    pc1: {machine_macs: ["52:54:00:77:00:01"]}
"""


def run(program: str, *arguments: str | Path, at: Path, **variables: str) -> str:
    """Run one of Ansible's programs away from the checkout; return what it said."""
    environment = {key: value for key, value in os.environ.items() if "ANSIBLE" not in key}
    environment |= {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000", "ANSIBLE_HOME": str(at / "home")}
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=at,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed collection, an inventory and a list of PCs."""
    at = tmp_path_factory.mktemp("collection")
    run("ansible-galaxy", "collection", "build", ROOT, "--output-path", at / "built", at=at)
    [archive] = (at / "built").iterdir()
    installed = at / "installed"
    run("ansible-galaxy", "collection", "install", "-p", installed, archive, "--offline", at=at)
    shutil.copytree(
        installed / "ansible_collections/slipway/imaging/inventory/example", at / "site"
    )
    (at / "site/hosts.yml").write_text(INVENTORY)
    (at / "pcs.csv").write_text("name;macs\npc77;52:54:00:77:00:77\n")
    return at


def use(folder: Path, program: str, *arguments: str | Path) -> str:
    """Run a program that finds the installed collection, and no other."""
    return run(program, *arguments, at=folder, ANSIBLE_COLLECTIONS_PATH=str(folder / "installed"))


def test_the_archive_has_what_belongs_to_it_and_nothing_else(folder: Path) -> None:
    [archive] = (folder / "built").iterdir()
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    names = {member.name for member in members}
    assert {"LICENSE", "README.md", "MANIFEST.json", "meta/runtime.yml"} <= names
    assert [name for name in names if name.split("/")[0] in FOREIGN] == []
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    assert [member.name for member in members if member.isdev()] == []


def test_ansible_doc_shows_every_plugin_and_role(folder: Path) -> None:
    for kind, shown_as in KINDS.items():
        plugins = (ROOT / "plugins" / kind).iterdir()
        listed = set(use(folder, "ansible-doc", "-t", shown_as, "-l", "slipway.imaging").split())
        names = [name for name in sorted(listed) if name.startswith("slipway.imaging.")]
        assert len(names) >= len({path.stem for path in plugins if path.suffix == ".py"})
        # In text form: what can't be shown ends with an error there.
        use(folder, "ansible-doc", "-t", shown_as, *names)
    roles = [path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    shown = use(folder, "ansible-doc", "-t", "role", *(f"slipway.imaging.{name}" for name in roles))
    assert [name for name in roles if f"slipway.imaging.{name}" not in shown] == []


def test_playbooks_run_from_the_installed_collection(folder: Path) -> None:
    menus = use(folder, "ansible-playbook", "-i", "site", "slipway.imaging.menu_preview")
    assert "Boot the local disk" in menus and "failed=0" in menus
    arguments = (
        "-i",
        "site",
        "-e",
        f"csv={folder / 'pcs.csv'}",
        "--check",
        "--diff",
        "-e",
        "pxe_server_interface=lo",
        "-e",
        "pxe_server_dhcp_mode=none",
    )
    imported = use(folder, "ansible-playbook", "slipway.imaging.machine_import", *arguments)
    assert "pc77" in imported and "changed=1" in imported
    assert list((folder / "site").rglob("pc77*")) == []


@pytest.mark.slow
def test_sanity(folder: Path) -> None:
    collection = folder / "sanity/ansible_collections/slipway/imaging"
    shutil.copytree(folder / "installed/ansible_collections/slipway/imaging", collection)
    shutil.copytree(ROOT / "tests/sanity", collection / "tests/sanity")
    # What ansible-test makes for itself is kept for the next run, and not in the user's home.
    home = ROOT / ".cache/ansible-test"
    cache = home / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    # It would download pip. Python brings one.
    (cache / PIP).write_text("import ensurepip\n\nensurepip.bootstrap()\n")
    skipped = [word for name in NOT_HERE for word in ("--skip-test", name)]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    run(
        "ansible-test",
        *("sanity", "--color", "no", "--python", python, *skipped),
        at=collection,
        HOME=str(home),
        PIP_CONFIG_FILE=next((str(path) for path in PIP_CONFIGS if path.exists()), ""),
    )


def test_an_execution_environment_can_be_made(tmp_path: Path) -> None:
    file = ROOT / "execution-environment.yml"
    run("ansible-builder", "create", "-f", file, "-c", tmp_path / "context", at=tmp_path)
    packages = (tmp_path / "context/_build/requirements.txt").read_text().split()
    wanted = [line.split("#")[0].strip() for line in (ROOT / "requirements/runtime.in").open()]
    missing = [name for name in wanted if name and name not in packages and "ansible" not in name]
    assert missing == []


def test_the_changelog_can_be_made_of_its_fragments() -> None:
    run("antsibull-changelog", "lint", at=ROOT)
