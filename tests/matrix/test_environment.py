# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of roles/client_image/README.md: a newer kernel with firmware, a vendor's driver."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from slipway_lab.api import Lab
from slipway_lab.playbook_runs import ROOT

from .trip import on, play

README = ROOT / "roles/client_image/README.md"


def examples() -> list[dict[str, object]]:
    """Return the variables that the README shows, block by block."""
    return [
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README.read_text(), re.S)
    ]


@contextmanager
def environment(lab: Lab, variables: dict[str, object], script: str) -> Iterator[list[str]]:
    """Let a PC boot an environment made with these variables; yield what a script says there."""
    pc = lab.pc("virtio-net")
    play("site", options=shlex.quote(f"-e{json.dumps(variables)}"))
    try:
        play("backup", limit=pc.name, variables={"imaging_session_after": "stay"})
        yield on(lab, pc, script).splitlines()
    finally:
        pc.cut_power()
        play("site")


def test_a_newer_kernel_with_firmware_and_one_more_module(lab: Lab) -> None:
    script = "uname -r; modinfo --field filename bnx2i; ls /lib/firmware/rtl_nic/rtl8168h-2.fw"
    with environment(lab, examples()[0], script) as (kernel, module, firmware):
        assert kernel.startswith("6.12.")
        assert module.split("/")[-6:-1] == [kernel, "kernel", "drivers", "scsi", "bnx2i"]
        assert firmware.endswith("rtl8168h-2.fw")


def test_a_vendors_driver_compiled_for_the_usual_kernel(lab: Lab) -> None:
    card = "pci:v000010ECd00008168sv00001043sd00008432bc02sc00i00"
    script = f"modprobe r8168; cat /sys/module/r8168/version; modprobe --resolve-alias {card}"
    with environment(lab, examples()[1], script) as (version, driver):
        assert version.startswith("8.051.")
        assert driver == "r8168", "the kernel's own driver gets the card"
