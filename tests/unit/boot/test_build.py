# SPDX-License-Identifier: GPL-3.0-or-later
"""The build around the steps: its key, its sources, its workplace, its door to programs."""

import json
import shutil
from pathlib import Path

import pytest
from slipway_image import cli, plan, shell, sources, workplace
from slipway_image.errors import BuildError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    target = tmp_path / "image"
    shutil.copytree(plan.HOME, target, symlinks=True)
    return target


def test_the_key_follows_every_input_and_nothing_else(home: Path) -> None:
    options = plan.Options()
    key = plan.key(options, home)
    (home / "README.md").write_text("other\n")
    (home / "slipway_image/site.py").write_text("other = 1\n")
    assert plan.key(options, home) == key
    assert plan.key(plan.Options(revision="2"), home) != key
    (home / "overlay/usr/lib/slipway/has-terminal").chmod(0o644)
    mode_changed = plan.key(options, home)
    assert mode_changed != key
    (home / "packages.list").write_text("less  # for reading\n")
    assert plan.key(options, home) not in (key, mode_changed)


def test_plan_says_what_there_is_and_builds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--cache", str(tmp_path / "cache"), "--plan"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["built"] is False
    assert not (tmp_path / "cache").exists()
    done = Path(said["path"])
    done.mkdir(parents=True)
    (done / "image.json").write_text("{}")
    cli.main(["--cache", str(tmp_path / "cache"), "--plan"])
    assert json.loads(capsys.readouterr().out)["built"] is True


DEB822 = """\
Types: deb
URIs: http://mirror.lan/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.lan/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://vendor.example/linux
Suites: bookworm
Components: stable

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


def test_the_hosts_own_debian_sources_are_taken_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "debian.sources").write_text(DEB822)
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    assert sources.of_host(tmp_path, "bookworm", "main") == [
        f"deb {key}http://mirror.lan/debian bookworm main",
        f"deb {key}http://mirror.lan/debian bookworm-updates main",
        "deb http://mirror.lan/debian-security bookworm-security main",
    ]


def test_one_line_sources_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://no.example bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main contrib # here\n"
        "deb-src http://m/debian bookworm main\n"
    )
    assert sources.of_host(tmp_path, "bookworm", "main non-free-firmware") == [
        "deb [signed-by=/k.gpg] http://m/debian bookworm main non-free-firmware"
    ]


def test_a_host_of_another_release_falls_back_to_debians_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://m/debian trixie main\n")
    found = sources.of_host(tmp_path, "bookworm", "main")
    assert found[0] == "deb http://deb.debian.org/debian bookworm main"
    assert found[2].startswith("deb http://deb.debian.org/debian-security bookworm-security")


def test_a_failed_program_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"exit code 3(?s:.)*last words"):
        shell.run(["sh", "-c", "echo last words; exit 3"], tmp_path / "log")


def test_a_killed_program_is_told_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="killed by SIGTERM"):
        shell.run(["sh", "-c", "kill -TERM $$"], tmp_path / "log")


def test_a_missing_program_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not installed") as caught:
        shell.run(["no-such-program"], tmp_path / "log")
    assert "apt-get install" in caught.value.remedy


def test_programs_see_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    found = shell.environment()
    assert "SECRET" not in found
    assert found["LC_ALL"] == "C.UTF-8"


def test_a_workplace_is_gone_afterwards_and_clears_what_others_left(tmp_path: Path) -> None:
    stale = tmp_path / "tmp-killed"
    (stale / "root").mkdir(parents=True)
    with pytest.raises(RuntimeError), workplace.scratch(tmp_path) as folder:
        assert not stale.exists()
        raise RuntimeError
    assert not folder.exists()


def test_mounts_are_found_from_the_inside_out() -> None:
    info = (
        "22 1 0:5 / / rw - ext4 /dev/sda rw\n"
        "23 22 0:6 / /w/tmp-1/root rw - tmpfs t rw\n"
        "24 23 0:7 / /w/tmp-1/root/a\\040b rw - proc p rw\n"
        "25 22 0:8 / /w/tmp-11 rw - tmpfs t rw\n"
    )
    below = workplace.mounts_below(Path("/w/tmp-1"), info)
    assert below == ["/w/tmp-1/root/a b", "/w/tmp-1/root"]


def test_old_builds_go_and_the_newest_stay(tmp_path: Path) -> None:
    for number in range(5):
        build = tmp_path / f"build{number}"
        build.mkdir()
        (build / "image.json").write_text("{}")
    (tmp_path / "other").mkdir()
    workplace.prune(tmp_path, tmp_path / "build0")
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 4
    assert {"build0", "other"} <= left
