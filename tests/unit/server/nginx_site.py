"""The role's nginx site and certificates, made without Ansible."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/image_server"
# The one that `make bench` unpacks serves as well.
NGINX = shutil.which("nginx") or str(ROOT / ".cache/nginx/usr/sbin/nginx")


def render(template: str, **values: Any) -> str:
    """A template of the role, with the role's own variables where a test has no other."""
    kept = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    text = (ROLE / "templates" / template).read_text()
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(
        {"ansible_managed": "test", "image_server_address": "10.77.0.1"} | kept | values
    )  # fmt: skip


def make_certificates(folder: Path, *names: str) -> None:
    """As tasks/tls.yml does, with the role's own openssl.cnf."""
    config = folder / "openssl.cnf"
    config.write_text(render("etc/slipway/tls/openssl.cnf.j2", _image_server_alt_names=list(names)))
    for who in ("ca", "server"):
        key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{who}.key"]
        subprocess.run(["openssl", "genpkey", *key], cwd=folder, check=True, capture_output=True)
    made = ["openssl", "req", "-x509", "-new", "-sha256", "-config", "openssl.cnf", "-days", "2"]
    for line in ("-extensions ca -subj /CN=CA -key ca.key -out ca.crt",
                 "-extensions server -subj /CN=server -CA ca.crt -CAkey ca.key "
                 "-key server.key -out server.crt"):  # fmt: skip
        subprocess.run([*made, *line.split()], cwd=folder, check=True, capture_output=True)
