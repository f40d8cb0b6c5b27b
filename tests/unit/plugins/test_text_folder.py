# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of small text files, on real files."""

from __future__ import annotations

import getpass
import grp
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunModule = Callable[..., dict[str, Any]]
ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
HASH = "scrypt$16384$8$1$MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def keep(run_module: RunModule, folder: Path, check_mode: bool = False, **files: str) -> Any:
    wanted = {
        name.replace("_", "."): {"content": text, "label": "pc1"} for name, text in files.items()
    }
    return run_module(
        "text_folder",
        check_mode,
        path=str(folder),
        files=wanted,
        stale=r".*\.txt",
        mode="0640",
        **ME,
    )


def test_files_are_written_removed_and_left_alone(run_module: RunModule, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "other.md").write_text("kept")
    first = keep(run_module, tmp_path, a_txt="one\n", b_txt="zwei \u00fc\n")
    assert [(change["name"], change["what"]) for change in first["changes"]] == [
        ("a.txt", "written"),
        ("b.txt", "written"),
        ("old.txt", "removed"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "other.md"]
    assert (tmp_path / "b.txt").read_text() == "zwei \u00fc\n"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert keep(run_module, tmp_path, a_txt="one\n", b_txt="zwei \u00fc\n")["changed"] is False


def test_check_mode_says_what_would_change_and_for_whom(
    run_module: RunModule, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("before\n")
    said = keep(run_module, tmp_path, check_mode=True, a_txt="after\n")
    assert said["changed"] is True
    assert said["diff"] == [
        {
            "before_header": "pc1: a.txt",
            "after_header": "pc1: a.txt",
            "before": "before\n",
            "after": "after\n",
        }
    ]
    assert (tmp_path / "a.txt").read_text() == "before\n"


def test_the_mode_alone_is_a_change(run_module: RunModule, tmp_path: Path) -> None:
    keep(run_module, tmp_path, a_txt="one")
    (tmp_path / "a.txt").chmod(0o666)
    assert keep(run_module, tmp_path, a_txt="one")["changed"] is True
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_link_is_replaced_and_not_followed(run_module: RunModule, tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("mine")
    (tmp_path / "a.txt").symlink_to(outside)
    keep(run_module, tmp_path, a_txt="new")
    assert (outside.read_text(), (tmp_path / "a.txt").read_text()) == ("mine", "new")
    assert not (tmp_path / "a.txt").is_symlink()


def test_hashes_are_not_shown_but_their_change_is(run_module: RunModule, tmp_path: Path) -> None:
    keep(run_module, tmp_path, a_txt=f'"{HASH}"\n')
    diff = keep(run_module, tmp_path, a_txt=f'"{HASH[:-4]}Zg=="\n')["diff"][0]
    assert "MDEy" not in diff["before"] + diff["after"]
    assert diff["before"] != diff["after"]


@pytest.mark.parametrize("name", ["../a", ".a", "", "a/b", "a\n"])
def test_names_that_leave_the_folder_are_refused(
    run_module: RunModule, tmp_path: Path, name: str
) -> None:
    wanted = {name: {"content": ""}}
    failed = run_module("text_folder", path=str(tmp_path), files=wanted, **ME)
    assert failed["error"] == "bad_name"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_group_names_the_remedy(run_module: RunModule, tmp_path: Path) -> None:
    options = {"path": str(tmp_path), "files": {"a": {"content": "x"}}, "group": "no-such-group"}
    assert "playbooks/site.yml" in run_module("text_folder", **options)["msg"]
    assert run_module("text_folder", check_mode=True, **options)["changed"] is True
    assert list(tmp_path.iterdir()) == []
