# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's nginx before a page that runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ..server.nginx_site import configuration, free_port, make_certificates, running_nginx
from .conftest import ROOT, Page

ROLE = ROOT / "roles/web_page"
VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text())


def render(template: str, **values: Any) -> str:
    """A template of the role, with the role's own variables where a test has no other."""
    text = (ROLE / "templates" / template).read_text()
    made = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text)
    return made.render({"ansible_managed": "test"} | VARS | values)


class Front:
    """nginx on a port of loopback; everything that it writes lies in ``folder``."""

    def __init__(self, page: Page, folder: Path, **values: Any) -> None:
        self.authority = folder / "ca.crt"
        make_certificates(folder, "DNS:server", "IP:127.0.0.1")
        self.port = free_port("127.0.0.1")
        site = render(
            "etc/nginx/conf.d/slipway-web.conf.j2",
            _web_page_port=f"127.0.0.1:{self.port}",
            _web_page_socket=str(page.folder / "page"),
            _web_page_logs=str(folder),
            _web_page_downloads=str(page.service.folder / "downloads"),
            _web_page_certificate=str(folder / "server.crt"),
            _web_page_key=str(folder / "server.key"),
            **values,
        )
        (folder / "nginx.conf").write_text(configuration(folder, site))
        self._ends = ExitStack()
        self._ends.enter_context(running_nginx(folder, ("127.0.0.1", self.port)))

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End it."""
        self._ends.close()
