"""`key`: key files are made, changed and shown, and nobody else ever may read them."""

import os
import re
import signal
import stat
import subprocess
import sys
import time

import pytest

from prr.cli.main import main
from prr.key_files import change_private, load_key, load_keyring
from prr.trust.keyring import SECRETS_MAX
from tests.keys import APP, BILLING, OTHER, write_credential, write_keyring, write_private
from tests.nodes import ROOT, run

NODE = [sys.executable, str(ROOT / "node.py")]


HOSTS = ("--host", "10.0.0.0/24", "--host", "2001:db8::1")
MANY_HOSTS = [word for number in range(5) for word in ("--host", f"10.0.{number}.0/24")]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def to_file(path, *arguments, umask=0o022):
    """As a shell does `node.py key ... > path`."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666 & ~umask), "w") as file:
        return subprocess.run(
            [*NODE, "key", *arguments], stdout=file, stderr=subprocess.PIPE, text=True, timeout=20
        )


@pytest.fixture
def told(capfd):
    """What a command line comes to, without a process of its own."""

    def told(*arguments):
        code = main(arguments)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return told


@pytest.fixture
def cluster_key(tmp_path):
    return write_keyring(tmp_path)


@pytest.mark.smoke
def test_the_keys_of_a_cluster_are_made_as_the_help_says(tmp_path, told):
    path, one = tmp_path / "cluster.key", tmp_path / "one.key"
    assert to_file(path, "new").returncode == 0
    assert to_file(one, "client", "--id", "a", str(path)).returncode == 0
    assert (mode(path), mode(one)) == (0o600, 0o600)
    keyring = load_keyring(path)
    assert keyring.issue(load_key(one).credential) == load_key(one)
    for flags, shown in (
        (("client", "--id", "app"), "client app\nof"),
        (("operator", "--id", "me"), "operator me\nof"),
        (("server", "--type", "billing", "--id", "a"), "server a\nservice: billing\nof"),
        (("server", "--type", "echo", "--id", "a"), "server a\nservice: type 1\nof"),
        (
            (
                "server",
                "--type",
                "7",
                "--id",
                "a",
                "--host",
                "10.0.0.0/24",
                "--host",
                "2001:db8::1",
            ),
            "server a\nservice: type 7\nhost: 10.0.0.0/24\nhost: 2001:db8::1/128\nof",
        ),
    ):
        one.write_text(told("key", *flags, str(path)).stdout)
        found = load_key(one)
        assert keyring.issue(found.credential) == found
        assert told("key", "show", str(one)).stdout.startswith(f"credential of {shown} secret ")


def test_two_new_keyrings_differ(told):
    one, other = told("key", "new"), told("key", "new")
    assert one.returncode == other.returncode == 0
    assert one.stdout != other.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_key_is_not_printed_into_a_file_that_others_keep_reading(tmp_path):
    path = tmp_path / "shared"
    path.touch(mode=0o644)
    os.chown(path, 12345, 12345)
    with path.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
        )
    assert "BadInput: stdout is a file that others may read" in done.stderr
    assert path.read_text() == ""


AS_NOBODY = """
import os
from prr.cli.key import run_key  # while it may be read
os.setgid(65534), os.setuid(65534)
run_key("new", {})
"""


def test_rotate_and_prune_change_the_file_in_place(cluster_key, told):
    old = load_keyring(cluster_key).secrets
    cluster_key.write_text(
        cluster_key.read_text().replace("revoked = []", 'revoked = ["a"]  # in May')
    )
    done = told("key", "rotate", str(cluster_key))
    assert done.returncode == 0
    assert re.fullmatch(
        r"keyring: secret \w{8} signs\nsecret \w{8} is still believed\nrevoked: a\n", done.stdout
    )
    rotated = load_keyring(cluster_key).secrets
    assert rotated[1:] == old
    assert told("key", "prune", str(cluster_key)).returncode == 0
    assert load_keyring(cluster_key).secrets == rotated[:1]
    assert "# in May" in cluster_key.read_text()
    assert mode(cluster_key) == 0o600
    assert os.listdir(cluster_key.parent) == [cluster_key.name]


def test_one_secret_too_many_is_refused_and_the_file_is_as_it_was(cluster_key, told):
    for _ in range(SECRETS_MAX - 1):
        assert told("key", "rotate", str(cluster_key)).returncode == 0
    before = cluster_key.read_text()
    done = told("key", "rotate", str(cluster_key))
    assert done.returncode == 2
    assert "key prune" in done.stderr
    assert cluster_key.read_text() == before
    assert os.listdir(cluster_key.parent) == [cluster_key.name]


def test_a_link_to_a_keyring_stays_a_link(cluster_key, tmp_path, told):
    link = tmp_path / "link.key"
    link.symlink_to(cluster_key)
    assert told("key", "rotate", str(link)).returncode == 0
    assert link.is_symlink()
    assert len(load_keyring(cluster_key).secrets) == 2


def test_a_full_disk_leaves_it_as_it_was(cluster_key, monkeypatch):
    before = cluster_key.read_text()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match="No space left on device; it is as it was"):
        change_private(cluster_key, lambda text: text + "# more")
    assert cluster_key.read_text() == before
    assert os.listdir(cluster_key.parent) == [cluster_key.name]


@pytest.mark.smoke
def test_killed_at_any_moment_it_is_the_old_one_or_the_new_one(cluster_key):
    """Once killed it says what is left, and what to do."""
    hanging = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, time, pathlib; from prr.key_files import change_private\n"
            "def late(text): print(flush=True); time.sleep(60)\n"
            "change_private(pathlib.Path(sys.argv[1]), late)",
            str(cluster_key),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    before = cluster_key.read_text()
    with hanging:
        hanging.stdout.readline()
        done = run("key", "rotate", str(cluster_key))
        assert done.returncode == 2
        assert "another `key` is changing it, or was killed" in done.stderr
        hanging.send_signal(signal.SIGKILL)
    assert cluster_key.read_text() == before
    left = re.search(r"remove (\S+),", run("key", "rotate", str(cluster_key)).stderr)[1]
    os.unlink(left)
    assert run("key", "rotate", str(cluster_key)).returncode == 0


@pytest.mark.smoke
def test_many_at_once_lose_no_secret(cluster_key):
    before = load_keyring(cluster_key).secrets
    rotating = [
        subprocess.Popen([*NODE, "key", "rotate", str(cluster_key)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    codes = []
    for process in rotating:
        _, said = process.communicate(timeout=20)
        codes.append(process.returncode)
        assert process.returncode in (0, 2), said
    assert 0 in codes
    assert set(before) <= set(load_keyring(cluster_key).secrets)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("server", "--type", "billing", "--id", "Web 7"), "is not an id; use"),
        (("server", "--type", "billing", "--id", "a" * 33), "is not an id; use"),
        (("server", "--type", "256", "--id", "a"), "is not a service; use"),
        (("server", "--id", "a"), "required: --type"),
        (("server", "--type", "1"), "required: --id"),
        (("server", "--type", "1", "--id", "a", "--host", "10.0.0.1/8"), "is not a network; use"),
        (("server", "--type", "1", "--id", "a", "--host", "there"), "is not a network; use"),
        (("server", "--type", "1", "--id", "a", *MANY_HOSTS), "5 networks; use 4 at most"),
        (("client", "--id", "gone"), "gone is revoked in"),
        (("operator",), "required: --id"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_use(arguments, why, cluster_key, told):
    cluster_key.write_text(cluster_key.read_text().replace("revoked = []", 'revoked = ["gone"]'))
    done = told("key", *arguments, str(cluster_key))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_keys_of_another_kind_and_damaged_ones_are_refused(cluster_key, tmp_path, told):
    app = write_credential(tmp_path, APP)
    binary = write_private(tmp_path / "binary", "")
    binary.write_bytes(b"\xff")
    for arguments, why in (
        (("client", "--id", "b", app), "the credential of client app; use the cluster's keyring"),
        (("rotate", app), "a credential, not a keyring"),
        (("prune", app), "a credential, not a keyring"),
        (("show", tmp_path / "nothing.key"), "No such file or directory; use the path of a key"),
        (("rotate", tmp_path / "no" / "nothing.key"), "No such file or directory"),
        (("show", tmp_path), "not a regular file"),
        (("show", binary), "not text"),
    ):
        done = told("key", *map(str, arguments))
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr
    app.write_text(app.read_text().replace('"app"', '"ape"'))
    assert "was edited" in told("key", "show", str(app)).stderr


@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused(wrong, cluster_key, told):
    os.chmod(cluster_key, wrong)
    for arguments in (("show",), ("rotate",), ("client", "--id", "app")):
        done = told("key", *arguments, str(cluster_key))
        assert (done.returncode, done.stdout) == (2, "")
        assert f"run `chmod 600 {cluster_key}`" in done.stderr
    os.chmod(cluster_key, 0o400)
    assert told("key", "show", str(cluster_key)).returncode == 0


def test_a_pipe_is_not_waited_for(tmp_path, told):
    os.mkfifo(tmp_path / "pipe", 0o600)
    began_at = time.monotonic()
    assert "not a regular file" in told("key", "show", str(tmp_path / "pipe")).stderr
    assert time.monotonic() - began_at < 5


def test_a_file_without_end_is_not_read_to_its_end(tmp_path, told):
    path = tmp_path / "large.key"
    with path.open("w") as file:
        path.chmod(0o600)
        file.truncate(1 << 40)
    assert "more than 65536 bytes" in told("key", "show", str(path)).stderr


def test_an_error_shows_no_key_that_was_given_where_none_belongs(tmp_path, told):
    path = write_credential(tmp_path, BILLING, OTHER)
    text = path.read_text()
    key = re.search('key = "(.+)"', text)[1]
    for arguments in (
        ("key", "show", key),
        ("key", "client", "--id", key, str(path)),
        ("key", "server", "--type", "echo", "--id", "a", "--host", key, str(path)),
        ("key", "show", text),
        ("key", "rotate", key),
        ("key", "new", key),
        ("key", key),
        ("lookup", "1", "--key", key),
        ("lookup", "1", "--key", text),
        ("drain", "billing", "127.0.0.1:1", f"--key={key}"),
        ("binder", "--key", key),
        ("lookup", "1", f"--keys={key}"),
        (key,),
    ):
        done = told(*arguments)
        assert done.returncode == 2
        assert key[:16] not in done.stderr + done.stdout, arguments
