"""The example of roles/client_image/README.md: a newer kernel, firmware and a vendor's driver."""

import json
import re
import shlex

import pytest
import yaml
from matrix.trip import on, play
from slipway_lab.api import Lab
from slipway_lab.playbook_runs import ROOT

SAY = """
uname -r
modprobe r8168
cat /sys/module/r8168/version
modprobe --resolve-alias pci:v000010ECd00008168sv00001043sd00008432bc02sc00i00
modinfo --field filename bnx2i
ls /lib/firmware/rtl_nic/rtl8168h-2.fw
"""


def example() -> dict[str, object]:
    """Return the variables that the README shows."""
    text = (ROOT / "roles/client_image/README.md").read_text()
    found = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.S)[1])
    assert isinstance(found, dict)
    return found


@pytest.fixture
def published(lab: Lab) -> None:
    """The example's environment on the image server, and the usual one again afterwards."""
    play("site", options=shlex.quote(f"-e{json.dumps(example())}"))
    yield
    play("site")


def test_a_pc_runs_the_other_kernel_with_its_driver_and_firmware(lab: Lab, published: None) -> None:
    pc = lab.pc("virtio-net")
    try:
        play("backup", limit=pc.name, variables={"imaging_session_after": "stay"})
        kernel, version, driver, module, firmware = on(lab, pc, SAY).splitlines()
    finally:
        pc.cut_power()
    assert kernel.startswith("6.12.")
    assert version.startswith("8.")
    assert driver == "r8168", "the vendor's driver does not get the card"
    assert module.endswith(f"{kernel}/kernel/drivers/scsi/bnx2i/bnx2i.ko.xz")
    assert firmware.endswith("rtl8168h-2.fw")
