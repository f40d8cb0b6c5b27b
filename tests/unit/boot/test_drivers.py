"""What DKMS made is taken over, and nothing else of the root that it was made in."""

from pathlib import Path

import pytest
from slipway_image import drivers, modules
from slipway_image.errors import BuildError

VERSION = "6.1.0-1-amd64"


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with DKMS, and a chroot that compiles what the test put there beforehand."""
    fake = tmp_path / "bin/chroot"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\n[ "$*" = "{tmp_path}/forge dkms autoinstall -k {VERSION}" ]\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    root = tmp_path / "forge"
    (root / "lib/modules" / VERSION / "updates/dkms").mkdir(parents=True)
    return root


def test_the_modules_lie_where_depmod_prefers_them(forge: Path, tmp_path: Path) -> None:
    made = forge / "lib/modules" / VERSION / "updates/dkms"
    (made / "r8168.ko").write_text("driver")
    (made / "notes").write_text("no driver")
    folder = tmp_path / "modules"
    folder.mkdir()
    assert drivers.compile_all(forge, VERSION, folder, tmp_path / "log") == ["r8168.ko"]
    assert [path.name for path in (folder / "updates/dkms").iterdir()] == ["r8168.ko"]
    needs = {"updates/dkms/r8168.ko": ["kernel/lib/a.ko"], "kernel/lib/a.ko": []}
    assert modules.select(needs, [modules.keep("updates/**")]) == set(needs)


def test_a_driver_that_was_not_compiled_is_no_silent_matter(forge: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=f"no driver for {VERSION}"):
        drivers.compile_all(forge, VERSION, tmp_path / "modules", tmp_path / "log")


def test_what_the_package_says_to_modprobe_comes_along(forge: Path, tmp_path: Path) -> None:
    listing = forge / "var/lib/dpkg/info/r8168-dkms.list"
    listing.parent.mkdir(parents=True)
    paths = ["/.", "/etc", "/etc/modprobe.d", "/etc/modprobe.d/r8168.conf", "/usr/src/r8168.c"]
    listing.write_text("\n".join(paths) + "\n")
    for path in paths[3:]:
        (forge / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (forge / path[1:]).write_text("alias x r8168\n")
    (forge / "etc/modprobe.d/other.conf").write_text("not of this package\n")
    root = tmp_path / "root"
    drivers.copy_configuration(forge, root, ("r8168-dkms",))
    found = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    assert found == ["etc/modprobe.d/r8168.conf"]
