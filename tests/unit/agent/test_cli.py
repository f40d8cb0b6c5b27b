# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: exit codes, one JSON object a line, errors with a remedy."""

import json
from pathlib import Path

import pytest
from slipway.cli.main import main
from slipway.engine import errors
from slipway.engine.errors import SlipwayError

README = Path(__file__).resolve().parents[3] / "client_image/agent/README.md"
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SlipwayError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_every_error_is_in_the_readme_with_its_code(kind: type[SlipwayError]) -> None:
    assert f"| {kind.exit_code} | `{kind.type}` |" in README.read_text()
    assert kind("message").remedy


def test_codes_are_distinct() -> None:
    assert len({kind.exit_code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(
    ("argv", "code", "error"),
    [
        (["list", "--store", "/nonexistent"], 2, "usage"),
        (["verify", "../x", "--store", "STORE"], 2, "usage"),
        (["verify", "pc", "--store", "STORE"], 3, "not_found"),
        (["verify", "pc", "--store", "https://img"], 2, "usage"),
        (["list", "--session", "/nonexistent"], 2, "usage"),
        (["restore", "pc", "/nonexistent", "--store", "STORE"], 3, "not_found"),
        (["backup", "/nonexistent", "--name", "pc", "--store", "STORE"], 2, "usage"),
        (["backup", "--store", "STORE"], 2, "usage"),
    ],
)
def test_failures(
    argv: list[str], code: int, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    argv = [str(tmp_path) if word == "STORE" else word for word in argv]
    assert main([*argv, "--json"]) == code
    shown = capsys.readouterr().out
    last = json.loads(shown.splitlines()[-1])
    assert (last["type"], last["error"], last["exit_code"]) == ("error", error, code)
    assert last["message"]
    assert last["remedy"]
    assert main(argv) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert last["message"] in shown.err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["backup"],
        ["verify", "pc"],
        ["list", "--store", "a", "--session", "b"],
        ["backup", "--store", "a", "--level", "99"],
        ["backup", "--store", "a", "--threads", "0"],
    ],
)
def test_wrong_command_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(argv)
    assert exit.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    assert main(["list", "--store", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == []
