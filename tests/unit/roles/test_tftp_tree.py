# SPDX-License-Identifier: GPL-3.0-or-later
"""Three roles fill the TFTP root; what GRUB reads is where it looks for it."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_grub
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server

ROLES = Path(__file__).resolve().parents[3] / "roles"


def variables(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROLES / role / "vars/main.yml").read_text())
    return found


def linked(name: str) -> str:
    pxe = variables("pxe_server")
    return os.path.normpath(
        Path(pxe["_pxe_server_tftp_root"]) / pxe["_pxe_server_tftp_links"][name]
    )


def test_the_links_lead_where_the_other_roles_write() -> None:
    server = variables("image_server")
    menu = variables("boot_menu")
    assert linked("session") == server["_image_server_tftp_dir"]
    assert server["_image_server_config"]["tftp_dir"] == "{{ _image_server_tftp_dir }}"
    assert linked("env") == variables("client_image")["_client_image_env"]
    assert linked("items") == f"{menu['_boot_menu_root']}/items"
    assert menu["_boot_menu_tftp_root"] == variables("pxe_server")["_pxe_server_tftp_root"]


def test_pending_sessions_go_with_the_service() -> None:
    unit = (ROLES / "image_server/templates/etc/systemd/system/slipway.service.j2").read_text()
    # systemd removes a RuntimeDirectory however the service ends, and nothing keeps it.
    assert "RuntimeDirectory={{ _image_server_tftp_dir | relpath('/run') }}\n" in unit
    assert "RuntimeDirectoryPreserve" not in unit
    assert variables("image_server")["_image_server_tftp_dir"].startswith("/run/")


@pytest.mark.parametrize("folder", ["session", "env", "menu"])
def test_grub_reads_nothing_that_is_not_there(folder: str) -> None:
    script = _menu_grub.first_script(Server("10.77.0.1", "quiet"))
    known = {*variables("pxe_server")["_pxe_server_tftp_links"], "menu"}
    named = set(re.findall(r'[ "]/([a-z]+)/', script))
    assert named <= known | {"EFI"}
    assert folder in named
