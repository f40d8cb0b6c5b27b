# SPDX-License-Identifier: GPL-3.0-or-later
"""The site overlay: complete, without a secret, and written only when an input changed."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from slipway.net.site import Site
from slipway_image import site
from slipway_image.errors import BuildError

CA = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "ssh-ed25519 " + "A" * 68 + " admin@here"
URL = "https://10.0.0.1"


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    package = tmp_path / "slipway"
    (package / "cli/__pycache__").mkdir(parents=True)
    (package / "__main__.py").write_text("print('hello')\n")
    (package / "cli/main.py").write_text("x = 1\n")
    (package / "cli/__pycache__/main.cpython-39.pyc").write_bytes(b"old")
    return package


def unpacked(archive: Path, target: Path) -> dict[str, Path]:
    target.mkdir()
    subprocess.run(
        ["cpio", "--extract", "--make-directories", "--preserve-modification-time", "--quiet"],
        cwd=target,
        input=archive.read_bytes(),
        check=True,
    )
    return {str(path.relative_to(target)): path for path in target.rglob("*")}


def test_it_holds_what_the_environment_needs(agent: Path, tmp_path: Path) -> None:
    archive = tmp_path / "site.cpio"
    assert site.pack(site.members(URL, CA, [KEY], agent, 1_700_000_000), agent, archive)
    found = unpacked(archive, tmp_path / "out")
    assert '"https://10.0.0.1"' in found["etc/slipway/site.json"].read_text()
    assert found["etc/slipway/ca.crt"].read_bytes() == CA
    assert found["root/.ssh/authorized_keys"].read_text() == KEY + "\n"
    assert found["root/.ssh"].stat().st_mode & 0o777 == 0o700
    assert found["usr/local/bin/slipway"].stat().st_mode & 0o111
    assert found["usr/lib/slipway/slipway/cli/main.py"].read_text() == "x = 1\n"
    assert found["usr/lib/clock-epoch"].stat().st_mtime == 1_700_000_000
    assert not [name for name in found if "cpython-39" in name]


def test_it_says_where_the_server_has_another_address(agent: Path, tmp_path: Path) -> None:
    archive = tmp_path / "site.cpio"
    apart = ["203.0.113.0/24=https://203.0.113.1"]
    site.pack(site.members("https://127.0.0.1", CA, [KEY], agent, 0, apart), agent, archive)
    file = unpacked(archive, tmp_path / "out")["etc/slipway/site.json"]
    assert json.loads(file.read_text())["networks"] == {"203.0.113.0/24": "https://203.0.113.1"}
    # This host is in none of them.
    assert Site.load(file).server == "https://127.0.0.1"
    with pytest.raises(BuildError, match="is no https address"):
        site.members(URL, CA, [KEY], agent, 0, ["203.0.113.0/24=http://203.0.113.1"])


def test_it_is_written_only_when_an_input_changed(agent: Path, tmp_path: Path) -> None:
    archive = tmp_path / "site.cpio"
    assert site.pack(site.members(URL, CA, [KEY], agent, 0), agent, archive)
    before = archive.stat()
    assert not site.pack(site.members(URL, CA, [KEY], agent, 0), agent, archive)
    assert archive.stat().st_mtime_ns == before.st_mtime_ns
    (agent / "cli/main.py").write_text("x = 2\n")
    os.utime(agent / "cli/main.py", (0, 0))
    assert site.pack(site.members(URL, CA, [KEY], agent, 0), agent, archive)


@pytest.mark.parametrize(
    ("server", "ca", "key", "says"),
    [
        ("http://10.0.0.1", CA, KEY, "https"),
        ("https://a/b", CA, KEY, "https"),
        (URL, b"nonsense", KEY, "PEM"),
        (URL, CA + b"-----BEGIN PRIVATE KEY-----", KEY, "private key"),
        (URL, CA, "-----BEGIN OPENSSH PRIVATE KEY-----", "public key"),
        (URL, CA, 'command="x" ' + KEY, "public key"),
        (URL, CA, KEY + "\n" + KEY, "public key"),
    ],
)
def test_bad_inputs_are_refused_with_a_remedy(
    agent: Path, server: str, ca: bytes, key: str, says: str
) -> None:
    with pytest.raises(BuildError, match=says) as caught:
        site.members(server, ca, [key], agent, 0)
    assert caught.value.remedy


def test_a_folder_without_the_agent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="agent"):
        site.members(URL, CA, [KEY], tmp_path, 0)
