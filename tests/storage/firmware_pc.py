# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual PC with real firmware and Debian's iPXE or GRUB, whose screen and keyboard a test uses.

No disk of the environment, no lab and no network: QEMU's own user-mode network is cut off from
everything but DHCP, TFTP and one small web server, which it starts for each connection.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SERVER = "10.0.2.100"
# Of QEMU's own network, and what the card has there unless a test says otherwise.
TFTP_SERVER = "10.0.2.2"
MAC = "52:54:00:12:34:56"
OVMF = Path("/usr/share/OVMF")
# One connection of a web server, on standard input and output.
_WEB = """\
import pathlib, re, sys
root = pathlib.Path(sys.argv[1])
request = sys.stdin.buffer.readline().decode().split()
while sys.stdin.buffer.readline().strip():
    pass
name = re.sub("[^A-Za-z0-9._-]", "", request[1].rsplit("/", 1)[-1])
file = root / name
body = file.read_bytes() if name and file.is_file() else b""
status = "200 OK" if body else "404 Not Found"
with (root / "asked").open("a") as log:
    log.write(request[1] + "\\n")
head = f"HTTP/1.1 {status}\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n"
sys.stdout.buffer.write(head.encode() + body)
sys.stdout.buffer.flush()
"""


class FirmwarePc:
    """One run of one PC."""

    def __init__(
        self,
        folder: Path,
        script: str,
        *arguments: str,
        uefi: bool = False,
        program: str = "first.ipxe",
    ) -> None:
        """Prepare a PC that loads ``script`` first; the folder is what its server serves.

        With ``program``, a file of the folder, it loads that instead.
        """
        self.folder = folder
        self.serial = folder / "serial.log"
        (folder / "first.ipxe").write_text(script)
        (folder / "web.py").write_text(_WEB)
        # The path of a socket is short.
        self._run = Path(tempfile.mkdtemp(prefix="slw-"))
        web = f"{sys.executable} {folder}/web.py {folder}"
        network = (
            f"user,id=net,restrict=on,tftp={folder},bootfile={program},"
            f"guestfwd=tcp:{SERVER}:80-cmd:{web}"
        )
        card = "virtio-net-pci,netdev=net,bootindex=1"
        if uefi and not program.endswith(".ipxe"):
            # Without iPXE's ROM, the firmware's own PXE loads it.
            card += ",romfile="
        self._command = [
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-m",
            "512",
            "-no-reboot",
            "-display",
            "none",
            "-vga",
            "std",
            "-nodefaults",
            "-serial",
            f"file:{self.serial}",
            "-monitor",
            f"unix:{self._run}/monitor,server=on,wait=off",
            "-netdev",
            network,
            "-device",
            card,
            *arguments,
        ]
        if not uefi:
            # Firmware mostly waits, and looks at its clock again and again meanwhile. By this PC's
            # clock an instruction takes 64 ns: it waits as long with fewer of them.
            self._command += ["-icount", "shift=6,sleep=on"]
        else:
            shutil.copy(OVMF / "OVMF_VARS_4M.fd", folder / "vars.fd")
            code = f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"
            variables = f"if=pflash,format=raw,file={folder}/vars.fd"
            self._command += ["-machine", "q35", "-drive", code, "-drive", variables]

    def __enter__(self) -> FirmwarePc:
        """Switch the PC on."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        self._monitor = socket.socket(socket.AF_UNIX)
        self._monitor.settimeout(60)
        self.wait(lambda: self._connect(), "the monitor")
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.wait()
        self._monitor.close()
        shutil.rmtree(self._run)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self._ask(f"sendkey {key}")
            time.sleep(0.3)

    def screen(self) -> list[str]:
        """Return the 25 lines of a BIOS text screen."""
        memory = self._ask("xp /2000hx 0xb8000")
        cells = [int(word, 16) for word in re.findall(r" 0x([0-9a-f]{4})\b", memory)]
        text = "".join(chr(cell & 0xFF) if 32 <= cell & 0xFF < 127 else " " for cell in cells)
        return [text[start : start + 80].rstrip() for start in range(0, 2000, 80)]

    def wait_for(self, text: str, seconds: int = 120) -> list[str]:
        """Wait until the screen shows a text; return the screen."""
        self.wait(lambda: text in "\n".join(self.screen()), f"{text!r} on the screen", seconds)
        return self.screen()

    def wait_for_serial(self, text: str, seconds: int = 120) -> None:
        """Wait until something was written to the serial line, in any case."""
        wanted = text.lower().encode()
        self.wait(lambda: wanted in self.serial.read_bytes().lower(), f"{text!r}", seconds)

    @property
    def asked(self) -> list[str]:
        """What the PC asked the web server for."""
        log = self.folder / "asked"
        return log.read_text().splitlines() if log.exists() else []

    def wait(self, done: Callable[[], bool], what: str, seconds: int = 120) -> None:
        """Wait for something; a busy machine takes long."""
        end = time.monotonic() + seconds
        while not done():
            assert self._process.poll() is None, "QEMU ended"
            assert time.monotonic() < end, f"no {what}; screen: {self.screen()}"
            time.sleep(0.2)

    def _connect(self) -> bool:
        try:
            self._monitor.connect(str(self._run / "monitor"))
        except OSError:
            return False
        return True

    def _ask(self, command: str) -> str:
        self._monitor.sendall(command.encode() + b"\n")
        return self._answer()

    def _answer(self) -> str:
        got = b""
        while not got.endswith(b"(qemu) "):
            got += self._monitor.recv(65536)
        return got.decode(errors="replace")
