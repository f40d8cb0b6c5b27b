# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/restore_media.yml against this computer: planned, made once, fetched, signed, refused.

What is left out is the unit that bounds the job, since no systemd may run here.
"""

import getpass
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from slipway.engine.folder_store import FolderStore

from ...fixtures import warm_python
from ..agent.conftest import make_image
from ..server.conftest import Service

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("restore media")]

ROOT = Path(__file__).resolve().parents[3]
DISK = random.Random(5).randbytes(4 << 20)
WIDE = random.Random(6).randbytes(40 << 20)


# What of installing needs no systemd.
INSTALL = """
- hosts: image_servers
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: slipway.imaging.restore_media
        tasks_from: "{{ item }}"
        public: true
      loop: [key, folder]
    - ansible.builtin.template:
        src: "{{ role }}/templates/etc/systemd/system/{{ item }}.j2"
        dest: "{{ _restore_media_etc }}/{{ item }}"
      loop: [slipway-media.service, slipway-media.path]
      vars:
        role: ROLE
""".replace("ROLE", str(ROOT / "roles/restore_media"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folders below one of ours, and variables that say so."""
    folder = tmp_path_factory.mktemp("server")
    for name in ("lib", "env", "media", "out"):
        (folder / name).mkdir()
    (folder / "media").chmod(0o750)
    pack = [sys.executable, ROOT / "roles/_common/files/pack_code.py", ROOT, folder, "media"]
    subprocess.run(pack, check=True, capture_output=True)
    [code] = folder.glob("media-*.tar")
    subprocess.run(["tar", "-xf", code, "-C", folder / "lib"], check=True)
    for name in ("vmlinuz", "initrd.img"):
        (folder / "env" / name).write_bytes(b"no kernel" * 1000)
    store = FolderStore(folder / "store", create=True)
    for name, disk in (("pc1", DISK), ("wide", WIDE)):
        end = len(disk) - (1 << 20)
        manifest, chunks = make_image(disk, [(1 << 20, end, [(0, end)])], name)
        for digest, frame in chunks.items():
            store.put(digest, frame)
        store.publish(manifest)
    store.close()
    paths = ":".join(
        str(folder / "lib/client_image" / each) for each in ("agent", "build", "image")
    )
    facts = {
        "_restore_media_prefix": str(folder),
        "_restore_media_environment": str(folder / "env"),
        "_restore_media_etc": str(folder / "etc"),
        "_restore_media_store": str(folder / "store"),
        "_restore_media_user": getpass.getuser(),
        "_restore_media_job": ["env", f"PYTHONPATH={paths}", "PYTHONDONTWRITEBYTECODE=1"],
        "_restore_media_program": [sys.executable, "-P", "-m", "slipway_media.restore"],
        "restore_media_server_folder": str(folder / "media"),
        "restore_media_folder": str(folder / "out"),
        "restore_media_reserve_bytes": 0,
    }
    (folder / "vars.json").write_text(json.dumps(facts))
    host = {"ansible_connection": "local", "ansible_python_interpreter": warm_python.for_modules()}
    host |= {"image_server_address": "192.0.2.1", "ansible_become": False}
    (folder / "hosts.yml").write_text(json.dumps({"image_servers": {"hosts": {"img": host}}}))
    (folder / "install.yml").write_text(INSTALL)
    done = play(folder, playbook=folder / "install")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The control service, which knows machines by their sessions."""
    made = Service(tmp_path)
    yield made.start()
    made.close()


def play(
    place: Path, *arguments: str, playbook: str | Path = "restore_media"
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000"}
    environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    words = [*warm_python.ansible(environment), "-i", str(place / "hosts.yml")]
    words += ["-e", f"@{place}/vars.json", str(ROOT / "playbooks" / f"{playbook}.yml")]
    return subprocess.run(
        [*words, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_planned_made_fetched_and_then_nothing_changes(place: Path) -> None:
    words = ("-e", "image=pc1", "-e", "medium=cd", "-e", "machine=pc12")
    done = play(place, *words, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one medium, at most" in done.stdout and "changed=1" in done.stdout
    assert not list((place / "out").iterdir())
    done = play(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    iso = place / "out/pc12.iso"
    assert iso.read_bytes() == (place / "media/pc12/pc12.iso").read_bytes()
    sums = place / "out/pc12.SHA256SUMS"
    check = ["sha256sum", "--quiet", "--check", sums]
    subprocess.run(check, cwd=place / "out", check=True)
    done = play(place, *words)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout
    # A copy that was spoilt is fetched again.
    iso.write_bytes(iso.read_bytes()[:-1] + b"x")
    assert "changed=1" in play(place, *words).stdout
    subprocess.run(check, cwd=place / "out", check=True)


@pytest.mark.slow
def test_discs_that_a_set_no_longer_has_are_not_kept(place: Path) -> None:
    out = place / "out"
    (out / "wide-9of9.iso").write_text("of somebody else")
    for count, medium in ((2, 45_000_000), (1, "usb"), (2, 40_000_000)):
        done = play(place, "-e", "image=wide", "-e", f"medium={medium}")
        assert done.returncode == 0, done.stdout + done.stderr
        lines = (out / "wide.SHA256SUMS").read_text().splitlines()
        there = sorted(path.name for path in out.glob("wide*.iso"))
        assert there == sorted([*(line.split()[1] for line in lines), "wide-9of9.iso"])
        assert len(lines) == count


@pytest.mark.slow
def test_what_was_made_stands_with_its_version(place: Path, tmp_path: Path) -> None:
    words = ("-e", "image=pc1", "-e", "medium=dvd", "-e", "machine=pc8")
    assert play(place, *words).returncode == 0
    record = json.loads((place / "media/pc8/media.json").read_text())
    service = Service(tmp_path, store_dir=str(place / "store"), media_dir=str(place / "media"))
    service.start()
    try:
        socket = ("-e", f"imaging_session_admin_socket={service.folder / 'admin'}")
        shown = play(place, *socket, playbook="images").stdout
        line = f"pc1@{record['version']}: one medium for dvd, pc8, "
        assert line in shown, shown
        made = record["made"][:10]
        assert made in shown[shown.index(line) :] and record["shim"] in shown[shown.index(line) :]
        shown = play(place, *socket, "-e", "json=true", playbook="images").stdout
        assert '"medium": "dvd"' in shown.replace("\\", "") and record["shim"] in shown
        image = service.admin.get("/v1/images/pc1").json()
        found = {each["name"]: each for each in image["versions"][0]["media"]}["pc8"]
        assert found == {key: record[key] for key in found} | {
            "discs": [{"file": "pc8.iso", "bytes": record["discs"][0]["bytes"]}]
        }
    finally:
        service.close()


@pytest.mark.slow
def test_an_alias_is_good_wherever_an_image_is_read(place: Path, tmp_path: Path) -> None:
    service = Service(tmp_path, store_dir=str(place / "store"))
    service.start()
    try:
        [image] = (place / "store/images/pc1").iterdir()
        for alias, target in (("golden", "pc1"), ("golden-old", f"pc1@{image.stem}")):
            made = service.admin.post(f"/v1/aliases/{alias}", json={"image": target})
            assert made.status_code == 200, made.text
            words = ("-e", f"image={alias}", "-e", "medium=cd")
            words = (*words, "-e", f"imaging_session_admin_socket={service.folder / 'admin'}")
            done = play(place, *words)
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"pc1@{image.stem}: one medium" in done.stdout
            assert (place / f"out/{alias}.iso").is_file()
            assert "changed=0" in play(place, *words).stdout
        done = play(place, *words[2:], "-e", "image=golden@20200101T000000Z")
        assert done.returncode != 0 and "there is no image golden" in done.stdout
    finally:
        service.close()


def verified(sums: Path, signers: Path) -> bool:
    """Whether a list is what one of them has signed, as the README says to look."""
    verify = ["ssh-keygen", "-Y", "verify", "-n", "slipway-media", "-I", "slipway"]
    with sums.open() as text:
        done = subprocess.run(
            [*verify, "-f", signers, "-s", f"{sums}.sig"], stdin=text, capture_output=True
        )
    return done.returncode == 0


@pytest.mark.slow
def test_the_list_of_checksums_is_signed_by_the_servers_key_or_by_ones_own(place: Path) -> None:
    words = ("-e", "image=pc1", "-e", "medium=usb")
    done = play(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    sums, signers = place / "out/pc1.SHA256SUMS", place / "out/slipway-media.signers"
    assert verified(sums, signers)
    assert "PRIVATE" not in signers.read_text()
    assert (place / "etc/key").stat().st_mode & 0o777 == 0o400
    assert "changed=0" in play(place, *words).stdout
    key = place / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    own = (*words, "-e", f"restore_media_sign_key={key}")
    done = play(place, *own)
    assert done.returncode == 0, done.stdout + done.stderr
    (place / "allowed").write_text(f"slipway {(place / 'key.pub').read_text()}")
    assert verified(sums, place / "allowed") and not verified(sums, signers)
    assert "changed=0" in play(place, *own).stdout
    sums.write_text(sums.read_text().replace("0", "1", 1))
    assert not verified(sums, place / "allowed")
    assert b"PRIVATE KEY" not in (place / "out/pc1.iso").read_bytes()[-(1 << 20) :]


def test_the_unit_of_media_that_are_due_is_the_same_job(place: Path) -> None:
    """What bounds a set that is made by hand bounds one that is made by itself."""
    unit = (place / "etc/slipway-media.service").read_text()
    said = yaml.safe_load((ROOT / "roles/restore_media/vars/main.yml").read_text())
    bounds = [each for each in said["_restore_media_properties"] if "{" not in each]
    assert len(bounds) > 10
    assert [each for each in bounds if f"\n{each}\n" not in unit] == []
    assert "\nStartLimitIntervalSec=0\n" in unit
    assert f"\nReadWritePaths=-{place}/media\n" in unit and "RuntimeMaxSec=21600" in unit
    assert " -m slipway_media.orders --orders /var/lib/slipway/state/media-orders " in unit
    server = yaml.safe_load((ROOT / "roles/image_server/vars/main.yml").read_text())
    watched = f"PathChanged={server['_image_server_state_dir']}/media-orders"
    assert f"\n{watched}\n" in (place / "etc/slipway-media.path").read_text()
    # It may ask the service for what it remembers, by the group that has that socket.
    assert f" --socket {server['_image_server_maker_socket']}\n" in unit
    assert f"\nSupplementaryGroups={getpass.getuser()}\n" in unit
    assert said["_restore_media_user"] == server["_image_server_user"]
    assert "RestrictAddressFamilies" not in unit
    # Its program takes the words that stand there.
    [line] = [each for each in unit.splitlines() if each.startswith("ExecStart=")]
    words = line.removeprefix("ExecStart=").split()
    orders = words.index("--orders") + 1
    words[orders] = str(place / "no-orders")
    paths = dict(each.split("=", 1) for each in unit.splitlines() if "=" in each)
    assert paths["Group"]
    lib = ":".join(str(ROOT / "client_image" / each) for each in ("agent", "build", "image"))
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": lib}, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_for_a_machine_that_the_server_knows(place: Path, service: Service) -> None:
    """Unattended, its medium has a rule that no other PC fits."""
    socket = service.folder / "admin"
    words = ("-e", "image=pc1", "-e", "medium=usb", "-e", "machine=pc7", "-e", "unattended=true")
    words = (*words, "-e", f"imaging_session_admin_socket={socket}")
    done = play(place, *words, "--check")
    assert done.returncode != 0 and "does not know yet by what to tell pc7" in done.stdout
    machine = service.machine(machine="pc7", arrived=False)
    # Only what comes from the machine's proven address is remembered.
    service.lease(machine.mac)
    hardware = {"cpu": "test", "uuid": "4c4c4544-0042-3510-8054-b7c04f4d3732", "serial": "5CG1"}
    assert machine.check_in(hardware=hardware).status_code == 200
    done = play(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    medium = (place / "out/pc7.iso").read_bytes()
    about = medium[medium.index(b'{\n  "countdown"') :]
    said = json.loads(about[: about.index(b"\n}\n") + 2])
    assert said["unattended"] is True
    assert said["rule"] == {
        "only_fixed": True,
        "machine_serial": "5CG1",
        "machine_uuid": "4c4c4544-0042-3510-8054-b7c04f4d3732",
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-e", "medium=cd"), "Say which image"),
        (("-e", "image=pc1"), "Say which image"),
        (("-e", "image=../x", "-e", "medium=cd"), "Say which image"),
        (("-e", "image=pc1", "-e", "medium=tape"), "Say which image"),
        (("-e", "image=pc9", "-e", "medium=cd"), "there is no image pc9"),
        (("-e", "image=pc1", "-e", "medium=1000"), "The medium is too small"),
        (("-e", "image=pc1", "-e", "medium=cd", "-e", "stick=/dev/sdb"), "names like /dev/sdb"),
        (("-e", "image=pc1", "-e", "medium=cd", "-e", "disc=2"), "There are 1 discs"),
        (
            ("-e", "image=pc1", "-e", "medium=cd", "-e", "stick=/dev/disk/by-id/usb-none-0:0"),
            "There is no /dev/disk/by-id/usb-none-0:0",
        ),
        (
            ("-e", "image=pc1", "-e", "medium=cd", "-e", '{"restore_media_target": {"modle": 1}}'),
            "modle",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(place: Path, words: tuple[str, ...], says: str) -> None:
    done = play(place, *words, "-e", "machine=refused")
    assert done.returncode != 0 and says in done.stdout + done.stderr, done.stdout + done.stderr
