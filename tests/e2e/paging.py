# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's server with a page."""

import json
from pathlib import Path
from typing import Any

from slipway_lab.playbook_runs import LAB, PlaybookRun, run_playbook

from ..unit.server.choosing import password_hash

PASSWORD = "in the lab, by clicks"
USERS = [{"name": "anna", "role": "admin", "password_hash": password_hash(PASSWORD)}]


def with_page(folder: Path, **more: Any) -> PlaybookRun:
    """Configure the server with a page, from here; `more` are variables of the server."""
    inventory = folder / "page.yml"
    said = {"web_page_users": USERS} | more
    inventory.write_text(json.dumps({"image_servers": {"vars": said}}))
    return run_playbook("site", inventories=(LAB, inventory), quiet=True)
