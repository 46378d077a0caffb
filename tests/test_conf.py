"""conf/prr.toml shows every setting, and what it shows is true."""

import re
import tomllib
from dataclasses import fields

import pytest

from prr.cli.settings import gather, gather_each
from prr.cli.settings_table import SETTINGS
from prr.config import AnnounceConfig, BinderConfig, ClientConfig, RunConfig, ServerConfig
from prr.key_files import CREDENTIALS
from prr.trust.credential import Credential, Holder
from tests.keys import APP, write_credential, write_keyring
from tests.nodes import ROOT

EXAMPLE = ROOT / "conf" / "prr.toml"
CONFIGS = {
    "binder": BinderConfig,
    "server": ServerConfig,
    "run": RunConfig,
    "announce": AnnounceConfig,
    "client": ClientConfig,
}
NO_DEFAULT = {
    ("binder", "peers"),
    ("binder", "state"),
    *(("binder", key) for key in ("key", "require", "legacy")),
    ("binder", "dns"),
    ("binder", "http"),
    *(("binder", f"store{part}") for part in ("", "_ca", "_cert", "_key", "_user", "_password")),
    ("server", "type"),
    ("server", "listen"),
    ("run", "command"),
    ("run", "type"),
    ("run", "port"),
    ("announce", "type"),
    ("announce", "at"),
    *((role, key) for role in ("server", "run", "announce") for key in ("zone", "tags", "key")),
    ("client", "key"),
    ("client", "type"),
    ("client", "retry_unknown"),
    ("client", "zone"),
}


@pytest.fixture
def uncommented(tmp_path, monkeypatch):
    """The example with all its keys in force, and the key files that it names."""
    monkeypatch.setenv(CREDENTIALS, str(tmp_path))
    write_keyring(tmp_path, "main.key")
    for service in ("echo", "web", "db"):
        write_credential(tmp_path, Credential(Holder.SERVER, service, service))
    write_credential(tmp_path, APP)
    path = tmp_path / "prr.toml"
    path.write_text(re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text()))
    return path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Only the file speaks."""
    for settings in SETTINGS.values():
        for setting in settings:
            monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("PRR_CONFIG", raising=False)


@pytest.mark.parametrize("role", SETTINGS)
def test_the_example_as_it_is_changes_nothing(role):
    assert gather(role, SETTINGS[role], {"config": str(EXAMPLE)}) == {}


def test_the_example_has_every_key_and_no_other(uncommented):
    tables = tomllib.loads(uncommented.read_text())
    keys = {role: [setting.key for setting in settings] for role, settings in SETTINGS.items()}
    assert {role: list(table) for role, table in tables.items()} == keys


@pytest.mark.parametrize("role", SETTINGS)
def test_what_the_example_shows_is_the_default_or_is_called_an_example(role, uncommented):
    shown = gather(role, SETTINGS[role], {"config": str(uncommented)})
    assert CONFIGS[role](**shown)
    for field in fields(CONFIGS[role]):
        if (role, field.name) not in NO_DEFAULT:
            assert shown[field.name] == field.default
        said = EXAMPLE.read_text().partition(f"[{role}]")[2].partition(f"# {field.name} = ")[0]
        called_an_example = said.rstrip().endswith("Example:")
        assert called_an_example == ((role, field.name) in NO_DEFAULT)


def test_the_example_of_several_announced_programs_is_valid():
    path = str(ROOT / "conf" / "announce.toml")
    rows = gather_each("announce", SETTINGS["announce"], {"config": path})
    assert len({AnnounceConfig(**row) for row in rows}) == 5
