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


def make_certificates(folder: Path, *names: str, start: str = "", end: str = "") -> None:
    """As tasks/tls.yml does, with the role's own openssl.cnf; dates as YYYYMMDDHHMMSSZ."""
    config = folder / "openssl.cnf"
    config.write_text(
        render(
            "etc/slipway/tls/openssl.cnf.j2",
            _image_server_alt_names=list(names),
            _image_server_tls=str(folder),
        )
    )
    (folder / "signed").mkdir(exist_ok=True)
    (folder / "signed/index.txt").touch()
    dates = ["-startdate", start or "20200101000000Z"]
    dates += ["-enddate", end] if end else ["-days", "2"]
    for who, how in (("ca", ["-selfsign"]), ("server", ["-cert", "ca.crt"])):
        key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{who}.key"]
        _openssl(folder, "genpkey", *key)
        _openssl(
            folder, "req", "-new", "-config", "openssl.cnf", "-subj", f"/CN={who}",
            "-key", f"{who}.key", "-out", f"{who}.csr",
        )  # fmt: skip
        _openssl(
            folder, "ca", "-batch", "-notext", "-config", "openssl.cnf",
            "-name", "authority", "-extensions", who, "-keyfile", "ca.key", *how, *dates,
            "-in", f"{who}.csr", "-out", f"{who}.crt",
        )  # fmt: skip


def _openssl(folder: Path, *argv: str) -> None:
    subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
