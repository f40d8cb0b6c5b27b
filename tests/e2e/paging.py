# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's server with a page."""

import json
from pathlib import Path

from slipway_lab.playbook_runs import LAB, PlaybookRun, run_playbook

from ..unit.server.choosing import password_hash

PASSWORD = "in the lab, by clicks"
USERS = [{"name": "anna", "role": "admin", "password_hash": password_hash(PASSWORD)}]


def with_page(folder: Path) -> PlaybookRun:
    """Configure the server with a page, from here."""
    inventory = folder / "page.yml"
    inventory.write_text(json.dumps({"image_servers": {"vars": {"web_page_users": USERS}}}))
    return run_playbook("site", inventories=(LAB, inventory), quiet=True)
