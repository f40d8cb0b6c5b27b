# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual PC without a network that starts from a CD or a stick; its serial line is its screen.

Its disk, its drives and its firmware are QEMU's; what it says and what is typed go over the first
serial port, which GRUB and the medium use beside the screen.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from .guest_pc import accelerated

OVMF = Path("/usr/share/OVMF")
_COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class MediaPc:
    """One run of one PC."""

    def __init__(
        self,
        folder: Path,
        disk: Path,
        medium: Path,
        *,
        stick: bool = False,
        secure: bool = False,
        serial: str = "OWN-1",
        more: tuple[str, ...] = (),
        sector: int = 512,
        scsi: bool = False,
        kernel: bool = True,
    ) -> None:
        """`medium` is in the drive, or is the stick; `serial` is the disk's serial number.

        Without a `kernel` firmware and GRUB alone run on it, which mostly look at the clock.
        """
        self.folder = folder
        self._run = Path(tempfile.mkdtemp(prefix="slw-"))
        self._heard = b""
        line = f"socket,id=line,path={self._run}/line,server=on,wait=off"
        control = f"unix:{self._run}/qmp,server=on,wait=off"
        system = "type=1,manufacturer=Slipway,product=Test,serial=PC-1"
        # One processor: of two that are emulated, one mostly waits for the other.
        self._command = [
            *accelerated(processors=1, waits=not kernel),
            *("-m", "1280", "-no-reboot", "-nodefaults"),
            *("-display", "none", "-vga", "std", "-nic", "none"),
            *("-device", "virtio-rng-pci", "-smbios", system),
            *("-chardev", line, "-serial", "chardev:line", "-qmp", control),
            *("-drive", f"file={disk},format=raw,if=none,id=disk", "-device", "ahci,id=ahci"),
        ]
        own = f"ide-hd,drive=disk,bus=ahci.0,serial={serial},bootindex=2"
        if scsi or sector != 512:
            # SATA disks have no other sectors.
            self._command += ["-device", "virtio-scsi-pci,id=scsi"]
            own = f"scsi-hd,drive=disk,bus=scsi.0,serial={serial}"
            own += f",logical_block_size={sector},physical_block_size={sector}"
        self._command += ["-device", own]
        drive = f"file={medium},format=raw,if=none,id=medium,readonly=on"
        if stick:
            self._command += ["-drive", drive, "-device", "qemu-xhci,id=usb"]
            device = "usb-storage,bus=usb.0,drive=medium,bootindex=1,removable=on"
        else:
            self._command += ["-drive", drive + ",media=cdrom"]
            device = "ide-cd,id=cd,bus=ahci.1,drive=medium,bootindex=1"
        self._command += ["-device", device, *more]
        if secure:
            self._firmware()
        else:
            self._command += ["-machine", "pc"]

    def _firmware(self) -> None:
        variables = self.folder / "vars.fd"
        if not variables.exists():
            shutil.copy(OVMF / "OVMF_VARS_4M.ms.fd", variables)
        self._command += [
            "-machine",
            "q35,smm=on",
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            "-global",
            "ICH9-LPC.disable_s3=1",
            "-drive",
            f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.ms.fd",
            "-drive",
            f"if=pflash,unit=1,format=raw,file={variables}",
        ]

    def __enter__(self) -> MediaPc:
        """Switch the PC on."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        self._line = self._connected("line")
        self._qmp = self._connected("qmp").makefile("rw")
        self._qmp.readline()
        self.monitor("qmp_capabilities")
        return self

    def __exit__(self, *_: object) -> None:
        """Pull its plug."""
        self._process.kill()
        self._process.wait()
        self._line.close()
        self._qmp.close()
        shutil.rmtree(self._run)

    def monitor(self, verb: str, **arguments: Any) -> Any:
        """One command of QMP and its answer."""
        self._qmp.write(json.dumps({"execute": verb, "arguments": arguments}) + "\n")
        self._qmp.flush()
        for line in self._qmp:
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]
        raise AssertionError(f"QEMU went away during {verb}")

    def insert(self, medium: Path) -> None:
        """Put another disc into the drive, as somebody does who opened it."""
        self.monitor(
            "blockdev-change-medium",
            id="cd",
            filename=str(medium),
            format="raw",
            force=True,
            **{"read-only-mode": "read-only"},
        )

    def insert_slowly(self, medium: Path, seconds: float) -> None:
        """The same with a tray that stays open for so long, with the disc on it."""
        self.pull()
        node = f"disc{len(self.heard)}"
        file = {"driver": "file", "filename": str(medium), "read-only": True}
        self.monitor(
            "blockdev-add", driver="raw", file=file, **{"node-name": node, "read-only": True}
        )
        self.monitor("blockdev-insert-medium", id="cd", **{"node-name": node})
        self.listen(seconds)
        self.monitor("blockdev-close-tray", id="cd")

    def pull(self) -> None:
        """Take the disc out, whatever the PC is at; the tray stays open."""
        self.monitor("blockdev-open-tray", id="cd", force=True)
        self.monitor("blockdev-remove-medium", id="cd")

    def listen(self, seconds: float) -> None:
        """Let so much time pass."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._listen()

    def type(self, text: str) -> None:
        """Type on the serial line."""
        self._line.sendall(text.encode())

    @property
    def heard(self) -> str:
        """All that the serial line said."""
        return _COLOURS.sub(b"", self._heard).decode(errors="replace")

    def wait_for(self, text: str, seconds: float = 300, since: int = 0) -> int:
        """Wait until a text was said; return how much had been said by then."""
        end = time.monotonic() + seconds
        while text not in self.heard[since:]:
            self._listen()
            assert time.monotonic() < end, f"no {text!r}; it said: {self.heard[-3000:]}"
            assert self._process.poll() is None, f"the PC is off; it said: {self.heard[-3000:]}"
        return len(self.heard)

    def wait_until_off(self, seconds: float = 120) -> None:
        """Wait until the PC has switched itself off, or restarted where it may not."""
        end = time.monotonic() + seconds
        while self._process.poll() is None:
            self._listen()
            assert time.monotonic() < end, f"it stays on; it said: {self.heard[-3000:]}"

    def _listen(self) -> None:
        self._line.settimeout(0.3)
        try:
            said = self._line.recv(65536)
            self._heard += said
            # What a run that is ended from outside has said, too.
            with (self.folder / "console.log").open("ab") as log:
                log.write(said)
        except TimeoutError:
            return
        except OSError:
            time.sleep(0.3)

    def _connected(self, name: str) -> socket.socket:
        end = time.monotonic() + 60
        while True:
            found = socket.socket(socket.AF_UNIX)
            try:
                found.connect(str(self._run / name))
                return found
            except OSError:
                found.close()
                assert self._process.poll() is None, "QEMU ended"
                assert time.monotonic() < end
                time.sleep(0.1)
