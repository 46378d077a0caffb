"""--key and what goes with it: which key fits which role and verb, and what is required."""

import os
from pathlib import Path

import pytest

from prr.cli.keys import check_binder_key
from prr.cli.main import QUESTIONS, _binder_config, main
from prr.cli.settings import gather
from prr.cli.settings_table import SETTINGS
from prr.config import BadInput, Require
from prr.key_files import CREDENTIALS, check_provides, load_keyring
from prr.trust.credential import Credential, Holder
from prr.trust.describing import describe_key
from tests.keys import APP, BILLING, ME, held, write_credential, write_keyring


@pytest.fixture(autouse=True)
def nothing_else_is_set(monkeypatch):
    for settings in SETTINGS.values():
        for setting in settings:
            monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("PRR_CONFIG", raising=False)
    monkeypatch.delenv(CREDENTIALS, raising=False)


@pytest.fixture
def keys(tmp_path):
    """A file of each kind, by what it is."""
    credentials = {"server": BILLING, "client": APP, "operator": ME}
    made = {name: write_credential(tmp_path, one) for name, one in credentials.items()}
    return {name: str(path) for name, path in (made | {"keyring": write_keyring(tmp_path)}).items()}


@pytest.fixture
def fails(capsys):
    """The error of a command line that is wrong."""

    def fails(*arguments):
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("prr: ") and said.err.count("\n") == 1
        return said.err

    return fails


NOWHERE = ("--binder", "127.0.0.1:9")
TAKES = {
    ("binder", "--check"): ["keyring"],
    ("server", "--check", "--type", "billing", *NOWHERE): ["server"],
    ("run", "--type", "billing", "--port", "8080", *NOWHERE, "--", "no-such-program"): ["server"],
    ("announce", "--type", "billing", "--at", "192.0.2.1:80", *NOWHERE): ["server"],
    ("client", "--type", "1", *NOWHERE): ["client", "operator"],
    ("lookup", "1", *NOWHERE): ["client", "operator"],
    ("exec", "1", *NOWHERE, "--", "true", "{}"): ["client", "operator"],
    ("list", *NOWHERE): ["client", "operator"],
    ("status", *NOWHERE): ["client", "operator"],
    ("health", *NOWHERE): ["client", "operator"],
    ("why", "1", "192.0.2.1:80", *NOWHERE): ["client", "operator"],
    ("drain", "1", "192.0.2.1:80", *NOWHERE): ["operator"],
    ("undrain", "1", "192.0.2.1:80", *NOWHERE): ["operator"],
}
"""What each verb takes. None of them finds anybody: those that ask do not get beyond that."""


def with_key(arguments, path):
    """The flag stands before what is behind `--`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return [*arguments[:at], "--key", path, *arguments[at:]]


@pytest.mark.parametrize("arguments", TAKES, ids=lambda arguments: arguments[0])
def test_each_role_and_verb_takes_its_own_kind_of_key_and_says_how_to_make_one(
    arguments, keys, fails
):
    for kind in keys.keys() - set(TAKES[arguments]):
        said = fails(*with_key(arguments, keys[kind]))
        assert said.startswith("prr: --key: ")
        assert "; use " in said and "`key " in said, said


@pytest.mark.parametrize("arguments", TAKES, ids=lambda arguments: arguments[0])
def test_the_right_kind_is_taken(arguments, keys):
    verb = arguments[0]
    settings = QUESTIONS.get(verb) or SETTINGS[verb]
    for kind in TAKES[arguments]:
        found = gather("client", settings, {"key": keys[kind]})["key"]
        assert describe_key(found)[0].startswith("keyring" if kind == "keyring" else "credential")


@pytest.mark.parametrize("verb", ["server", "run", "announce"])
def test_a_server_s_key_is_for_one_service(verb, keys, fails, tmp_path):
    rest = next(one for one in TAKES if one[0] == verb)
    for service in ("echo", "7", "billing-eu"):
        other = [service if word == "billing" else word for word in rest]
        said = fails(*with_key(other, keys["server"]))
        assert "the key of server web-7 is for billing, not for" in said


def test_a_number_and_its_name_are_one_service(tmp_path):
    one = held(Credential(Holder.SERVER, "a", 1))
    check_provides(one, 1)
    with pytest.raises(ValueError, match="type 1, not for one"):
        check_provides(one, "one")


def test_the_key_is_named_by_the_flag_the_variable_or_the_file(keys, tmp_path, monkeypatch):
    path = tmp_path / "prr.toml"
    path.write_text(f"[client]\nkey = '{keys['client']}'")
    client = SETTINGS["client"]
    assert gather("client", client, {"config": str(path)})["key"] == held(APP)
    monkeypatch.setenv("PRR_KEY", keys["operator"])
    assert gather("client", client, {"config": str(path)})["key"] == held(ME)
    assert gather("client", client, {"key": keys["client"]})["key"] == held(APP)


def test_a_configuration_with_a_key_does_not_show_it(keys):
    for role, kind in (("binder", "keyring"), ("client", "client")):
        values = gather(role, SETTINGS[role], {"key": keys[kind]})
        assert repr(values["key"]) in ("Keyring(1 secrets)", "Held(...)")


def config(**flags):
    return _binder_config(dict.fromkeys(one.key for one in SETTINGS["binder"]) | flags)


def test_a_binder_with_a_key_requires_one_unless_it_is_told_otherwise(keys):
    assert config().require is Require.OFF
    assert config(key=keys["keyring"]).require is Require.ON
    for require in Require:
        assert config(key=keys["keyring"], require=str(require)).require is require


@pytest.mark.parametrize(
    "flags", [{"require": "on"}, {"require": "log"}, {"require_lookup": "true"}]
)
def test_nothing_can_be_required_without_a_key(flags):
    with pytest.raises(BadInput, match=r"no key; make one with `key new > cluster.key`"):
        config(**flags)
    config(require="off", require_lookup="false")


def test_what_is_required_comes_from_the_file_too(keys, tmp_path):
    path = tmp_path / "prr.toml"
    path.write_text(
        f"[binder]\nkey = '{keys['keyring']}'\nrequire = 'log'\nrequire_lookup = true\n"
        f"legacy = ['10.0.9.0/24', '2001:db8::/64', '192.0.2.7']"
    )
    read = config(config=str(path))
    assert (read.require, read.require_lookup) == (Require.LOG, True)
    assert list(map(str, read.legacy)) == ["10.0.9.0/24", "2001:db8::/64", "192.0.2.7/32"]


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--require", "yes"), "'yes' is not one of off, log and on"),
        (("--legacy", "10.0.0.1/24"), "is not a network; use one such as 10.0.0.0/24"),
        (("--legacy", "lab"), "is not a network"),
        (("--key", ""), "an empty path"),
        (("--key", "/no/such.key"), "/no/such.key: cannot read it: No such file"),
    ],
)
def test_what_is_wrong_is_told(flags, why, fails):
    assert why in fails("binder", "--check", *flags)


def test_the_defaults_are_filled_in_only_where_nothing_is_set():
    values = {"key": object(), "require": Require.LOG}
    check_binder_key(values)
    assert values["require"] is Require.LOG


def test_a_mere_name_is_a_credential_of_the_unit(keys, tmp_path, monkeypatch, fails):
    """systemd lets the unit's user in by its access list, which shows as a right of the group."""
    directory = tmp_path / "unit"
    directory.mkdir(mode=0o700)
    path = write_keyring(directory, "main.key")
    monkeypatch.setenv(CREDENTIALS, str(directory))
    for allowed in (0o400, 0o440):
        path.chmod(allowed)
        assert config(key="main.key").require is Require.ON
    for wrong in (0o444, 0o460, 0o404):
        path.chmod(wrong)
        assert "others may read or change it" in fails("binder", "--check", "--key", "main.key")
    said = fails("binder", "--check", "--key", "other.key")
    assert "use the name of a credential that the unit loads" in said
    assert config(key=keys["keyring"]).require is Require.ON  # and a path is a path
    monkeypatch.delenv(CREDENTIALS)
    path.chmod(0o440)
    assert "others may read" in fails("binder", "--check", "--key", str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_is_refused(keys):
    os.chown(keys["keyring"], 12345, 0)
    with pytest.raises(ValueError, match=r"belongs to user 12345.*run `chown 0 "):
        load_keyring(Path(keys["keyring"]))


def test_one_that_root_owns_is_taken_by_others(keys, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if os.stat(keys["keyring"]).st_uid == 0:
        assert config(key=keys["keyring"]).key is not None
