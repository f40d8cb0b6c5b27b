# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives: what cpio reads back is what was put in, and the bytes depend on nothing else."""

import io
import os
import subprocess
from pathlib import Path

import pytest
from slipway_image import cpio


def packed(members: list[cpio.Member]) -> bytes:
    out = io.BytesIO()
    size = cpio.write(members, out)
    assert size == len(out.getvalue())
    return out.getvalue()


def test_the_archive_is_padded_so_that_another_can_follow() -> None:
    assert len(packed([cpio.regular("a", b"12345")])) % 512 == 0


def test_parents_come_before_what_lies_in_them() -> None:
    members = cpio.with_parents([cpio.regular("a/b/c", b""), cpio.folder("a", 0o700)])
    assert [member.path for member in members] == ["a", "a/b", "a/b/c"]
    assert members[0].mode & 0o777 == 0o700


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "folder").mkdir(parents=True)
    (source / "folder/file").write_bytes(os.urandom(70_001))
    (source / "folder/file").chmod(0o640)
    (source / "empty").touch()
    (source / "link").symlink_to("folder/file")
    os.link(source / "folder/file", source / "second")
    target.mkdir()
    archive = packed(list(cpio.tree(source, newest=2_000_000_000)))
    subprocess.run(
        ["cpio", "--extract", "--make-directories", "--quiet"],
        cwd=target,
        input=archive,
        check=True,
    )
    content = (source / "folder/file").read_bytes()
    assert (target / "folder/file").read_bytes() == content
    assert (target / "folder/file").stat().st_mode & 0o777 == 0o640
    assert (target / "empty").read_bytes() == b""
    assert (target / "link").readlink() == Path("folder/file")
    assert (target / "second").readlink() == Path("/folder/file")


def test_times_are_cut_off_and_order_is_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (2_000_000, 2_000_000))
    members = list(cpio.tree(tmp_path, newest=1_000))
    assert [(member.path, member.mtime) for member in members] == [("a", 1_000), ("b", 1_000)]


def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    members = list(cpio.tree(tmp_path, newest=0))
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(OSError, match="shorter"):
        packed(members)
