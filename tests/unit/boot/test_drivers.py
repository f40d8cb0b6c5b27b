# SPDX-License-Identifier: GPL-3.0-or-later
"""What DKMS made is taken over, and nothing else of the root that it was made in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway_image import drivers, modules
from slipway_image.errors import BuildError

VERSION = "6.1.0-1-amd64"


@pytest.fixture
def unshare(mock_command: Callable[..., Any]) -> Any:
    """It compiles what the test put there beforehand."""
    return mock_command("unshare")


@pytest.fixture
def forge(tmp_path: Path, unshare: Any) -> Path:
    """A root with DKMS."""
    root = tmp_path / "forge"
    (root / "lib/modules" / VERSION / "updates/dkms").mkdir(parents=True)
    source = root / "usr/src/r8168-8.051.02/dkms.conf"
    source.parent.mkdir(parents=True)
    source.touch()
    return root


def test_the_modules_lie_where_depmod_prefers_them(
    forge: Path, unshare: Any, tmp_path: Path
) -> None:
    made = forge / "lib/modules" / VERSION / "updates/dkms"
    (made / "r8168.ko").write_text("driver")
    (made / "notes").write_text("no driver")
    folder = tmp_path / "modules"
    folder.mkdir()
    assert drivers.compile_all(forge, VERSION, folder, tmp_path / "log") == ["r8168.ko"]
    assert [path.name for path in (folder / "updates/dkms").iterdir()] == ["r8168.ko"]
    assert all(any(f"--root={forge}" in word for word in call) for call in unshare.calls)
    assert [call[call.index("dkms") + 1 :] for call in unshare.calls] == [
        ["add", "/usr/src/r8168-8.051.02"],
        ["autoinstall", "-k", VERSION],
    ]
    needs = {"updates/dkms/r8168.ko": ["kernel/lib/a.ko"], "kernel/lib/a.ko": []}
    assert modules.select(needs, [modules.keep("updates/**")]) == set(needs)


def test_a_driver_that_was_not_compiled_is_no_silent_matter(forge: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=f"no driver for {VERSION}"):
        drivers.compile_all(forge, VERSION, tmp_path / "modules", tmp_path / "log")


def test_the_compilers_own_words_are_shown(
    forge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: list[str | Path], log: Path) -> None:
        if "autoinstall" in argv:
            raise BuildError("dkms failed")

    monkeypatch.setattr(drivers, "run", run)
    log = forge / "var/lib/dkms/r8168/8.051.02/build/make.log"
    log.parent.mkdir(parents=True)
    log.write_text("make -C\nr8168.c:1:2: error: too few arguments\nmake: *** Error 1\n")
    with pytest.raises(BuildError, match=f"{VERSION}:\n  r8168.c:1:2: error: too few") as caught:
        drivers.compile_all(forge, VERSION, tmp_path, tmp_path / "log")
    assert "another kernel" in caught.value.remedy


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
