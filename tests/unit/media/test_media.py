# SPDX-License-Identifier: GPL-3.0-or-later
"""The media as Debian's own tools make and read them: bootable, small enough, always the same."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from slipway_media import __main__ as program
from slipway_media import media, tools
from slipway_media.errors import MediaError

FLOPPY = 1474560


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return make(tmp_path, capsys)


def make(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, name: str = "img"
) -> dict[str, object]:
    words = ["--folder", str(folder), "--name", name, "--server", "10.77.0.1", *more]
    code = program.main(words)
    said = capsys.readouterr()
    assert code == 0, said.err
    answer: dict[str, object] = json.loads(said.out)
    return answer


def output(*argv: str | Path) -> bytes:
    return subprocess.run(argv, check=True, capture_output=True).stdout


def content(drive: str, name: str) -> bytes:
    return output("mtype", "-i", drive, f"::/{name}")


def script_of(drive: str) -> str:
    return content(drive, "boot.ipx").decode()


def test_three_media_with_clear_names(made: dict[str, object], tmp_path: Path) -> None:
    names = ["img-floppy.img", "img-usb.img", "img.iso"]
    assert made["changed"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert made["files"] == [str(tmp_path / name) for name in reversed(names)]


def test_the_same_inputs_give_the_same_bytes(
    made: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = tmp_path / "again"
    time.sleep(2.1)  # FAT counts in steps of two seconds
    make(again, capsys)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before
    stamps = {path.name: path.stat().st_mtime_ns for path in again.iterdir()}
    assert not make(again, capsys)["changed"]
    assert {path.name: path.stat().st_mtime_ns for path in again.iterdir()} == stamps


def test_check_mode_says_what_would_change_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(tmp_path, capsys, "--check")["changed"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("made")
def test_the_floppy(tmp_path: Path) -> None:
    image = tmp_path / "img-floppy.img"
    assert image.stat().st_size == FLOPPY
    assert image.read_bytes()[510:512] == b"\x55\xaa"
    assert content(str(image), "ipxe.krn") == tools.LKRN.read_bytes()
    assert "http://10.77.0.1/boot.ipxe" in script_of(str(image))
    assert "INITRD boot.ipx" in content(str(image), "syslinux.cfg").decode()
    assert output("fsck.vfat", "-n", image)


@pytest.mark.usefixtures("made")
def test_the_usb_stick(tmp_path: Path) -> None:
    image = tmp_path / "img-usb.img"
    table = json.loads(output("sfdisk", "--json", image))["partitiontable"]
    (part,) = table["partitions"]
    assert (part["type"], part["bootable"]) == ("e", True)
    assert (part["start"] + part["size"]) * 512 == image.stat().st_size
    assert image.read_bytes()[:440] == tools.MBR.read_bytes()[:440].ljust(440, b"\0")
    drive = f"{image}@@{part['start'] * 512}"
    assert content(drive, "EFI/BOOT/BOOTX64.EFI") == tools.EFI.read_bytes()
    assert content(drive, "autoexec.ipxe") == content(drive, "boot.ipx")


@pytest.mark.usefixtures("made")
def test_the_cd(tmp_path: Path) -> None:
    image = tmp_path / "img.iso"
    listed = output("xorriso", "-indev", image, "-report_el_torito", "plain").decode()
    assert [
        line.split(":")[1].split()[1] for line in listed.splitlines() if "boot img :" in line
    ] == [
        "BIOS",
        "UEFI",
    ]
    efi = tmp_path / "efi.img"
    output("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/efi.img", efi)
    assert content(str(efi), "EFI/BOOT/BOOTX64.EFI") == tools.EFI.read_bytes()


def test_a_fixed_address_needs_an_ipxe_that_reads_scripts_on_uefi(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.efi", tmp_path / "new.efi"
    old.write_bytes(b"MZ old")
    new.write_bytes(b"MZ file:autoexec.ipxe")
    fixed = ("--address", "10.77.0.30/24")

    answer = make(tmp_path / "a", capsys, "--efi", str(old), *fixed, name="pc7")
    assert "BIOS alone" in str(answer["notes"])
    drive = f"{tmp_path}/a/pc7-usb.img@@{media.USB_START * media.SECTOR}"
    assert "ip=10.77.0.30/24" in script_of(drive)
    missing = subprocess.run(["mtype", "-i", drive, "::/EFI/BOOT/BOOTX64.EFI"], capture_output=True)
    assert missing.returncode

    answer = make(tmp_path / "b", capsys, "--efi", str(new), *fixed, name="pc7")
    assert answer["notes"] == []
    drive = drive.replace("/a/", "/b/")
    assert content(drive, "EFI/BOOT/BOOTX64.EFI") == new.read_bytes()
    assert "ip=10.77.0.30/24" in content(drive, "autoexec.ipxe").decode()


def test_an_old_ipxe_needs_a_dhcp_server_that_knows_us(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.efi"
    old.write_bytes(b"MZ old")
    assert "dhcp_options.yml" in str(make(tmp_path, capsys, "--efi", str(old))["notes"])


def test_what_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MediaError, match="mtools, syslinux, xorriso is not installed"):
        tools.check_installed([])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--name", "../x"], "boot_media_name"),
        (["--efi", "/nonexistent"], "There is no /nonexistent"),
        (["--server", "a b"], "pxe_server_address"),
    ],
)
def test_refusals_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    folder = tmp_path / "media"
    base = ["--folder", str(folder), "--name", "img", "--server", "10.77.0.1"]
    assert program.main([*base, *words]) == 1
    assert says in capsys.readouterr().err
    assert not folder.exists()
