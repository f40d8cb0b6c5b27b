# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hands to the service: its configuration and its packed code."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway_server.base.certificates import warnings
from slipway_server.base.config import Config, ConfigError, from_mapping, load
from slipway_server.sessions import boot_script

from .conftest import ROOT

ROLE = ROOT / "roles/image_server"
GOOD = {"address": "10.77.0.1", "store_dir": "/s", "state_dir": "/t"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"address": "10.77.0.1:80"}, "address"),
        ({"address": "a b"}, "address"),
        ({"address": "fe80::1%eth0"}, "address"),
        ({"address": "http://x"}, "address"),
        ({"store_dir": "relative"}, "store_dir"),
        ({"threads": 0}, "threads"),
        ({"threads": "2"}, "threads"),
        ({"threads": True}, "threads"),
        ({"store_reserve_bytes": -1}, "store_reserve_bytes"),
        ({"unproven_addresses": "ask"}, "unproven_addresses"),
        ({"typo": 1}, "typo"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        from_mapping(GOOD | change)


def test_files_that_are_none(tmp_path: Path) -> None:
    for text in ("", "[]", "{"):
        (tmp_path / "c").write_text(text)
        with pytest.raises(ConfigError):
            load(tmp_path / "c")
    with pytest.raises(ConfigError, match="address: Field required"):
        from_mapping({"store_dir": "/s", "state_dir": "/t"})


def test_all_that_is_wrong_is_said_at_once_with_file_and_key(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    wrong = {"address": "a b", "store_dir": "s", "threads": "2", "typo": 1}
    file.write_text(json.dumps(wrong))
    with pytest.raises(ConfigError) as caught:
        load(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    assert all(f"{key}: " in said for key in (*wrong, "state_dir")), said


def test_by_hand_it_needs_sockets_and_says_so(tmp_path: Path) -> None:
    paths = [str(ROOT / "client_image/agent"), str(ROOT / "roles/image_server/files")]
    config = tmp_path / "server.json"
    config.write_text(json.dumps(GOOD))
    program = [sys.executable, "-m", "slipway_server", "--config", str(config)]
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    found = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert "--http-socket" in found.stderr


def test_an_ipv6_address_stands_in_brackets() -> None:
    script = boot_script.render(from_mapping(GOOD | {"address": "fd00::1"}), "0" * 16, "t" * 43)
    assert "chain --replace http://[fd00::1]/environment.ipxe\n" in script
    with pytest.raises(ValueError, match="session id"):
        boot_script.render(from_mapping(GOOD), "x\nshell", "t" * 43)
    with pytest.raises(ValueError, match="ticket"):
        boot_script.render(from_mapping(GOOD), "0" * 16, "x\nshell")


@pytest.mark.parametrize(("days", "said"), [(61, []), (59, ["ends on"]), (-1, ["ended on"])])
def test_certificates_warn_before_they_end(days: int, said: list[str]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    text = f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
    for key in ("certificate_ends", "ca_ends"):
        found = warnings(from_mapping(GOOD | {key: text}), now)
        assert len(found) == len(said)
        assert all(word in line for word, line in zip(said, found, strict=True))
        assert all("site.yml" in line for line in found)
    assert warnings(from_mapping(GOOD), now) == []


def test_the_role_sets_only_what_the_service_knows() -> None:
    given = yaml.safe_load((ROLE / "vars/main.yml").read_text())["_image_server_config"]
    assert set(given) <= {field.name for field in dataclasses.fields(Config)}


def test_the_packed_code_is_the_format_and_the_service_the_same_everywhere() -> None:
    spec = importlib.util.spec_from_file_location(
        "pack_code", ROOT / "roles/_common/files/pack_code.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = module.pack(ROOT, "server")
    assert data == module.pack(ROOT, "server")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert {
        "slipway/__init__.py",
        "slipway/format/codec.py",
        "slipway_server/images/manifest_reader.py",
    } <= set(names)
    assert not [
        name for name in names if "__pycache__" in name or name.startswith("slipway/engine")
    ]
    assert names[-1] == "COMPLETE"
    assert {entry.mtime for entry in entries} == {0}
