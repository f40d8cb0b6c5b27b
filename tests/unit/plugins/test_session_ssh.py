# SPDX-License-Identifier: GPL-3.0-or-later
"""One host key, whoever starts Ansible: what SSH itself makes of it, and a real impostor."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_ssh import (
    Target,
    arguments,
    control_socket,
    problems,
    unsent,
)
from slipway_runner.output import Output
from slipway_runner.play import play, variables
from slipway_runner.settings import Settings

from .pc import ROOT, SSHD, Pc, Site, make_key, running_pc

NO_CHECKING = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
EVERYTHING_OFF = (
    f"{NO_CHECKING} -o GlobalKnownHostsFile=/x -o HostKeyAlias=other -o KnownHostsCommand=/bin/echo"
    " -o VerifyHostKeyDNS=yes -o NoHostAuthenticationForLocalhost=yes -o ForwardAgent=yes"
    " -o PermitLocalCommand=yes -o LocalCommand=date -o Tunnel=yes -o ControlPath=/tmp/foreign"
    " -o ClearAllForwardings=no -o UpdateHostKeys=yes -o IdentitiesOnly=no -o ForwardX11=yes"
    " -o GSSAPIAuthentication=yes -o PasswordAuthentication=yes -o HostbasedAuthentication=yes"
    " -o HostKeyAlgorithms=ssh-rsa,ecdsa-sha2-nistp256 -o KbdInteractiveAuthentication=yes"
)
FLAGS = "-A -X -Y -K -S /tmp/foreign -L 8080:localhost:80 -R 81:localhost:81 -D 1080 -t -t -p 9"


def target(**changes: Any) -> Target:
    values = {
        "machine": "pc1",
        "address": "192.0.2.7",
        "port": 22,
        "user": "root",
        "known_hosts": Path("/tmp/known hosts/pc1"),
        "key_type": "ssh-ed25519",
        "control": Path("/tmp/cp/slw-0123456789ab"),
    }
    return Target(**{**values, **changes})


def told(words: list[str]) -> str:
    """What SSH says that it would do."""
    return subprocess.run(["ssh", "-G", *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("common", ["", NO_CHECKING, EVERYTHING_OFF, FLAGS, f"{FLAGS} -M"])
@pytest.mark.parametrize("control", [None, Path("/tmp/cp/slw-0123456789ab")])
def test_what_an_inventory_adds_changes_nothing(common: str, control: Path | None) -> None:
    here = target(control=control)
    assert problems(here, told(arguments(here, shlex.split(common)))) == []


def test_what_an_ssh_configuration_says_changes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config"
    rows = [word for word in shlex.split(EVERYTHING_OFF) if "=" in word]
    forwards = (
        "LocalForward 8080 localhost:80\nRemoteForward 81 localhost:81\nDynamicForward 1080\n"
    )
    config.write_text(
        "Host *\n" + "\n".join(row.replace("=", " ") for row in rows) + "\n" + forwards
    )
    assert problems(target(), told(arguments(target(), ["-F", str(config)]))) == []
    assert told(["-F", str(config), "192.0.2.7"]).count("forward ") >= 3, "the file says nothing"


@pytest.mark.parametrize(
    "option",
    [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/x",
        "HostKeyAlias=other",
        "KnownHostsCommand=/bin/echo",
        "VerifyHostKeyDNS=yes",
        "NoHostAuthenticationForLocalhost=yes",
        "PermitLocalCommand=yes",
        "UpdateHostKeys=yes",
        "IdentitiesOnly=no",
        "PreferredAuthentications=password",
        "HostKeyAlgorithms=ssh-rsa",
    ],
)
def test_a_program_that_puts_its_own_options_first_is_noticed(option: str) -> None:
    assert problems(target(), told(["-o", option, *arguments(target())]))


def test_an_ssh_configuration_sends_no_variables_and_forbids_no_keys(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  SendEnv AWS_* ?OKEN\n  SendEnv *\n  PubkeyAuthentication no\n")
    said = told(arguments(target(), ["-F", str(config)]))
    assert "pubkeyauthentication true" in said
    kept = {"HOME": "/root", "PATH": "/bin", "LC_ALL": "C", "SSH_AUTH_SOCK": "/tmp/agent"}
    assert unsent(said, {**kept, "AWS_SECRET": "x", "TOKEN": "x", "VAULT": "x"}) == kept
    some = said.replace("sendenv *\n", "")
    assert unsent(some, {"AWS_SECRET": "x", "TOKEN": "x", "TOKENS": "x"}) == {"TOKENS": "x"}


def test_the_way_there_stays_the_inventorys() -> None:
    said = told(arguments(target(), shlex.split("-o ProxyJump=admin@192.0.2.10 -4")))
    assert "proxyjump admin@" in said
    assert "port 22\n" in said and "user root\n" in said


def test_a_socket_whose_path_is_too_long_is_none() -> None:
    assert control_socket(Path("/tmp"), "0123") == Path("/tmp/slw-0123")
    assert control_socket(Path("/tmp") / ("x" * 90), "0123") is None


# --- the project's own playbook, and a real impostor -----------------------------------------
def real(test: Any) -> Any:
    """Mark what runs a real sshd and Ansible."""
    alone = os.geteuid() != 0 or SSHD is None
    marked = pytest.mark.skipif(alone, reason="sshd lets in its own user alone")(test)
    return pytest.mark.plays(marked)


# What inventories and environments have; each on its own turned the check off, or another way in.
INVENTORY = {
    "ansible_connection": "ssh",
    "ansible_host_key_checking": False,
    "ansible_ssh_host_key_checking": False,
    "ansible_ssh_args": NO_CHECKING,
    "ansible_ssh_common_args": f"{EVERYTHING_OFF} {FLAGS}",
    "ansible_ssh_extra_args": NO_CHECKING,
    "ansible_ssh_transfer_method": "scp",
    "ansible_pipelining": False,
    # Of the PC's own system, which may be Windows.
    "ansible_shell_type": "powershell",
    "ansible_shell_executable": "/bin/evil",
}
ENVIRONMENT = {
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_SSH_ARGS": NO_CHECKING,
    "ANSIBLE_SSH_COMMON_ARGS": f"{EVERYTHING_OFF} {FLAGS}",
    "ANSIBLE_SSH_EXTRA_ARGS": NO_CHECKING,
    "ANSIBLE_PIPELINING": "False",
    "ANSIBLE_KEEP_REMOTE_FILES": "1",
}


@pytest.fixture
def site(tmp_path: Path, service: Any) -> Site:
    made = Site(tmp_path / "site", make_key(tmp_path / "login"), service)
    made.describe()
    return made


@pytest.fixture
def pc(tmp_path: Path, site: Site) -> Iterator[Pc]:
    with running_pc(tmp_path / "pc", site.login) as made:
        site.serve(made)
        yield made


@pytest.fixture
def impostor(tmp_path: Path, site: Site, pc: Pc) -> Iterator[Pc]:
    """Another machine at the PC's address: the service still says the real PC's key."""
    with running_pc(tmp_path / "impostor", site.login) as made:
        yield made


@dataclass
class Recorder:
    """A program `ssh` in front of the real one, and what it was called with."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def calls(self) -> list[list[str]]:
        rows = (self.folder / "calls").read_text().splitlines()
        return [call for call in map(json.loads, rows) if not {"-G", "-O"} & set(call)]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    folder = tmp_path / "recorder"
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"open({str(folder / 'calls')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        f"os.execv({shutil.which('ssh')!r}, ['ssh', *sys.argv[1:]])\n"
    )
    program.chmod(0o755)
    return Recorder(folder)


def insist(calls: list[list[str]], site: Site) -> None:
    """Ask SSH itself about every call: the one key, and nothing but a command."""
    assert calls
    for call in calls:
        rows = told(call).splitlines()
        for row in (
            "stricthostkeychecking true",
            f"userknownhostsfile {site.known_hosts_dir}/pc1",
            "globalknownhostsfile /dev/null",
            "hostkeyalias pc1",
            "forwardagent no",
            "verifyhostkeydns false",
            "nohostauthenticationforlocalhost no",
            "forwardx11 no",
            "permitlocalcommand no",
            "tunnel false",
            "identitiesonly yes",
            "user root",
        ):
            assert row in rows, row
        assert not [row for row in rows if row.startswith(("localforward", "remoteforward"))]
        assert not [row for row in rows if row == "controlpath /tmp/foreign"]


def refused(said: str, site: Site, impostor: Pc, calls: list[list[str]]) -> None:
    """The run ended with the reason, and no command reached the impostor."""
    assert "Somebody else answers at 127.0.0.1" in said
    assert impostor.commands == []
    assert site.outcome == "failed"
    assert list(site.known_hosts_dir.iterdir()) == []
    insist(calls, site)


@real
@pytest.mark.parametrize(
    ("inventory", "environment"), [(INVENTORY, {}), ({}, ENVIRONMENT)], ids=["inventory", "env"]
)
def test_an_impostor_under_ansible_playbook(
    site: Site, impostor: Pc, recorder: Recorder, inventory: Any, environment: Any
) -> None:
    site.describe(**inventory)
    done = site.play(impostor, "backup", environment={**environment, **recorder.environment})
    assert done.returncode != 0
    refused(done.stdout, site, impostor, recorder.calls())


@real
def test_an_impostor_under_ansible_runner(
    site: Site, impostor: Pc, recorder: Recorder, tmp_path: Path
) -> None:
    """It sets ANSIBLE_HOST_KEY_CHECKING=False."""
    site.describe()
    (tmp_path / "data").mkdir()
    run = ansible_runner.run(
        private_data_dir=str(tmp_path / "data"),
        project_dir=str(ROOT),
        playbook=str(ROOT / "playbooks/backup.yml"),
        inventory=str(site.inventory),
        limit="pc1",
        extravars={"ansible_port": impostor.port},
        envvars=site.environment(**recorder.environment),
        quiet=True,
    )
    assert run.status == "failed"
    assert run.config.env["ANSIBLE_HOST_KEY_CHECKING"] == "False"
    refused(run.stdout.read(), site, impostor, recorder.calls())


@real
def test_an_impostor_under_the_job_runner(
    site: Site,
    impostor: Pc,
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.describe(ansible_ssh_common_args=NO_CHECKING)
    for name, value in site.environment(**recorder.environment).items():
        monkeypatch.setenv(name, value)
    state = tmp_path / "state"
    (state / "work").mkdir(parents=True)
    settings = Settings(Path(site.service.path), ROOT, site.inventory, state)
    site.known_hosts_dir = state / "known_hosts"
    job = {
        "id": "0123456789abcdef",
        "machine": "pc1",
        "verb": "backup",
        "image": "pc1",
        "arrival": "waits",
        "options": {},
        "after": "as_found",
    }
    # An sshd of a test has a port of its own.
    extra = {**variables(job, settings), "ansible_port": impostor.port}
    monkeypatch.setattr("slipway_runner.play.variables", lambda *_given: extra)
    with Output(tmp_path / "output", 1 << 20) as output:
        ending = play(job, settings, output, lambda: False)
    assert ending.outcome == "failed"
    refused(ending.message, site, impostor, recorder.calls())


@real
def test_the_real_pc_gets_them(site: Site, pc: Pc) -> None:
    """Else the tests of the impostor would prove nothing."""
    site.describe(**INVENTORY)
    done = site.play(pc, "backup", environment=ENVIRONMENT)
    assert [kind for kind, _text in pc.commands] == ["hello", "module", "farewell"]
    assert "Its answer can't be" in done.stdout


@real
def test_a_pc_gets_no_variable_of_the_controller(site: Site, pc: Pc, tmp_path: Path) -> None:
    """Its sshd takes whatever it is sent."""
    (tmp_path / "config").write_text("SendEnv *\n")
    site.describe(ansible_ssh_common_args=f"-F {tmp_path / 'config'}")
    site.play(pc, "backup", environment={"VAULT_TOKEN": "secret-of-the-controller"})
    assert pc.commands
    assert "VAULT_TOKEN" not in pc.environment and "PATH" in pc.environment


@real
def test_arguments_that_are_none_are_named(site: Site, pc: Pc) -> None:
    site.describe(ansible_ssh_common_args="-o 'ProxyJump=x")
    done = site.play(pc, "backup")
    assert "ansible_ssh_common_args can't be read: No closing quotation" in done.stdout
    assert pc.commands == []


@real
def test_another_connection_is_refused(site: Site, pc: Pc) -> None:
    for other in ("ssh", "paramiko", "smart", "local"):
        done = site.play(
            pc, "backup", "-e", f"ansible_connection={other}", "-e", "ansible_become=false"
        )
        assert done.returncode != 0, other
        assert pc.commands == [], other
