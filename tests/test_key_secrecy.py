"""Secrets never reach a log, a status, an error, a process list, a disk or a core dump."""

import json
import resource
import signal
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from hashlib import blake2s
from pathlib import Path

import pytest

from prr.trust.credential import encode_credential
from prr.trust.keyring import derive
from tests.keys import APP, BILLING, ME, OTHER, SECRET, write_credential, write_keyring
from tests.nodes import NODE, PATIENCE, ROOT, Node, run

PART_BYTES = 12
"""What is searched for: nobody guesses the rest of a key of which he knows so much."""


def all_that_is_secret():
    """The secrets, and every key that is derived from them, in every form they might be shown in:
    as bytes, hex, base64 wherever it begins, or as Python shows bytes."""
    keys = [SECRET, OTHER]
    for secret in (SECRET, OTHER):
        keys += [derive(secret, encode_credential(one)) for one in (BILLING, APP, ME)]
        keys.append(blake2s(key=secret, person=b"binders").digest())
    forms = set()
    for key in keys:
        forms |= {key[:PART_BYTES], key[:PART_BYTES].hex().encode()}
        forms.add(repr(key[:PART_BYTES])[2:-1].encode())
        for encode in (b64encode, urlsafe_b64encode):
            forms |= {encode(bytes(before) + key)[4 if before else 0 :][:16] for before in range(3)}
    return forms


SECRETS = all_that_is_secret()


def secrets_in(data: bytes) -> list[bytes]:
    return [form for form in SECRETS if form in data]


def test_the_search_finds_what_is_shown(tmp_path):
    for path in (write_keyring(tmp_path), write_credential(tmp_path, ME)):
        assert secrets_in(path.read_bytes())
    assert secrets_in(repr(SECRET).encode())
    assert secrets_in(b"..." + SECRET + b"...")
    for before in range(7):
        assert secrets_in(b64encode(bytes(before) + derive(OTHER, encode_credential(ME))))


@pytest.fixture
def keyed(tmp_path):
    """A binder with a state and a server, processes of their own, and the files of their keys."""
    files = {one.id: write_credential(tmp_path, one) for one in (BILLING, APP, ME)}
    files["cluster"] = write_keyring(tmp_path)
    state = tmp_path / "state"
    settings = tmp_path / "prr.toml"
    settings.write_text(f"[binder]\nkey = '{files['cluster']}'\n")
    listen = ("--listen", "127.0.0.1:0", "--state", str(state), "--config", str(settings))
    binder = Node("binder", *listen, program=NODE)
    nodes = [binder]
    try:
        key = ("--key", str(files["web-7"]))
        to = ("--type", "billing", "--binder", binder.name, *key)
        nodes.append(Node("server", *to, program=NODE))
        nodes[1].wait_for("confirmed")
        yield files, state, *nodes
    finally:
        for node in nodes:
            node.close()


def asked_of(binder, server, files):
    """What every verb prints, whether it is let in or not."""
    to = ("--binder", binder.name)
    app, me = (("--key", str(files[one])) for one in ("app", "me"))
    for command in (
        ("lookup", "billing", *to, *app),
        ("lookup", "billing", "--all", "--output", "json", *to, *app),
        ("client", "--type", "billing", *to, *app),
        ("exec", "billing", "--complain-on", "any", *to, *app, "--", "false", "{}"),
        ("list", *to, *me),
        ("list", *to),
        ("why", "billing", server.name, "--output", "json", *to, *me),
        ("drain", "billing", server.name, "--last", *to, *me),
        ("exec", "billing", "--complain-on", "any", *to, "--", "false", "{}"),
        ("drain", "billing", server.name, *to, *app),
        ("server", "--type", "echo", *to, "--key", str(files["web-7"])),
        ("health", *to, "--key", str(files["cluster"])),
        ("key", "show", str(files["cluster"])),
        ("key", "show", str(files["me"])),
        ("key", "client", "--id", "Wrong", str(files["cluster"])),
    ):
        done = run(*command)
        yield (done.stdout + done.stderr).encode()


@pytest.mark.smoke
def test_no_secret_reaches_a_log_a_status_an_error_a_process_list_or_a_disk(keyed):
    files, state, binder, server = keyed
    said = list(asked_of(binder, server, files))
    status = run("status", "--output", "json", "--binder", binder.name)
    assert json.loads(status.stdout)
    said.append(status.stdout.encode())

    before = files["cluster"].read_text()
    files["cluster"].write_text(before + "revoked = [\n")  # it keeps the old one, and says so
    binder.process.send_signal(signal.SIGHUP)
    binder.wait_for("settings not reloaded")
    files["cluster"].write_text(before)
    assert run("key", "rotate", str(files["cluster"])).returncode == 0
    binder.process.send_signal(signal.SIGHUP)
    binder.wait_for("is still believed")

    for node in (binder, server):
        process = Path("/proc", str(node.process.pid))
        said += [(process / name).read_bytes() for name in ("cmdline", "environ", "status")]
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, check=False)
    said.append(listed.stdout)
    for node in (binder, server):
        node.terminate()
        node.close()
        said += [line.encode() for line in node.lines]
        assert node.matching("key: ")
    said += [path.read_bytes() for path in state.rglob("*") if path.is_file()]
    assert len(said) > 25
    assert [found for one in said for found in secrets_in(one)] == []


def cores_of(tmp_path, *arguments):
    """The core dumps of a node that is aborted."""
    directory = tmp_path / "cwd"
    directory.mkdir()

    def may_dump():
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))

    command = [sys.executable, *NODE, *arguments]
    node = subprocess.Popen(
        command, cwd=directory, preexec_fn=may_dump, stderr=subprocess.PIPE, text=True
    )
    with node:
        assert "listening" in node.stderr.readline()
        node.send_signal(signal.SIGABRT)
        node.wait(PATIENCE)
    cores = list(directory.iterdir())
    for path in cores:
        path.unlink()
    directory.rmdir()
    return cores


@pytest.mark.smoke
def test_a_node_with_a_key_dumps_no_core(tmp_path):
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this process may not have core dumps made at all")
    binder = ("binder", "--listen", "127.0.0.1:0")
    if not cores_of(tmp_path, *binder):
        pytest.skip("core dumps go elsewhere: see /proc/sys/kernel/core_pattern")
    assert cores_of(tmp_path, *binder, "--key", str(write_keyring(tmp_path))) == []


def test_the_program_of_an_agent_may_dump_its_core_as_ever(tmp_path):
    """Forbidden is what has read the key, until it is another program."""
    key = write_credential(tmp_path, BILLING)
    script = (
        "import ctypes, sys\n"
        "from prr.cli.keys import parse_server_key\n"
        "def dumpable(): return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "before = dumpable()\n"
        f"parse_server_key({str(key)!r})\n"
        "import subprocess\n"
        "code = 'import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))'\n"
        "child = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "print(before, dumpable(), child.stdout.strip())\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == ["1", "0", "1"], done
