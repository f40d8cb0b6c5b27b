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
    shutil.copytree(installed / "ansible_collections/slipway/imaging/inventory/example", at / "site")
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
    arguments = ("-i", "site", "-e", f"csv={folder / 'pcs.csv'}", "--check", "--diff")
    imported = use(folder, "ansible-playbook", "slipway.imaging.machine_import", *arguments)
    assert "pc77" in imported and "changed=1" in imported
    assert list((folder / "site").rglob("pc77*")) == []
