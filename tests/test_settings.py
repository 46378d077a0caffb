"""Settings: bad input is told in one line with exit code 2, and the nearest source wins."""

import logging
import re
import socket

import pytest

from prr import services
from prr.cli import exits, parser
from prr.cli.main import main
from prr.cli.settings import gather
from prr.cli.settings_table import SETTINGS
from prr.config import BadInput, WireForm

BAD_FLAGS = """
binder --listen 127.0.0.1
binder --listen 127.0.0.1:
binder --listen :2222
binder --listen 127.0.0.1:65536
binder --listen 127.0.0.1:-1
binder --listen 127.0.0.1:٣
binder --listen 127.0.0.1:2222:1
binder --listen ::1:2222
binder --listen [::1]
binder --listen [::1:2222
binder --listen [::g]:2222
binder --listen [127.0.0.1]:2222
binder --listen [fe80::1]:2222
binder --listen [fe80::1%lo]:2222
binder --listen [ff02::1]:2222
binder --listen [2001:db8::1]:2222
binder --peer [::]:2222
binder --listen 127.0.0:2222
binder --listen 127.0.0.256:2222
binder --listen a/b:2222
binder --listen -a:2222
binder --listen 203.0.113.1:2222
binder --peer 127.0.0.1:0
binder --peer 127.0.0.1:2222 --peer 127.0.0.1
binder --peer 127.0.0.1:2222,127.0.0.1:2223
binder --wire 2016
binder --dns 127.0.0.1
binder --dns 203.0.113.1:5353
binder --dns-ttl 2
binder --dns-ttl 0.5
binder --dns-domain .
binder --dns-domain a..b
binder --dns-domain a/b
binder --wire
binder --type 1
binder extra
server
server --type 256
server --type -1
server --type 1.5
server --type Nothing_of_that_name
server --type 1 --binder 127.0.0.1:0
client
client --type 1 --count 0
client --type 1 --count many
client --type 1 --interval -1
client --type 1 --interval nan
client --type 1 --interval 86401
client --type 1 --retry-unknown soon
client --typ 1
lookup
lookup 256
lookup 1 2
lookup 1 --binder 127.0.0.1
list --output xml
list --binder 127.0.0.1:99999
list --binder 127.0.0.1:99999999999999999999
list --config /no/such/file.toml
list --config /
binders
--verbose
""".strip().splitlines()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """No PRR_ variable of whoever runs the tests, and the log as it was."""
    for setting in {setting for role in SETTINGS.values() for setting in role}:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("PRR_CONFIG", raising=False)
    handlers = list(logging.getLogger("prr").handlers)
    yield
    logging.getLogger("prr").handlers[:] = handlers


@pytest.fixture
def fails(capfd):
    """Runs a command line that must fail as wrong usage; what it says about it."""

    def run(*arguments):
        assert main(arguments) == 2
        output, errors = capfd.readouterr()
        lines = errors.splitlines()
        assert output == ""
        assert len(lines) == 1, errors
        assert lines[0].startswith("prr: ")
        assert "Traceback" not in errors
        return lines[0]

    return run


@pytest.fixture
def toml(tmp_path):
    """Writes a file of settings; its path."""

    def write(text):
        path = tmp_path / "prr.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize("line", BAD_FLAGS)
def test_a_wrong_command_line_is_told_in_one_line(line, fails):
    fails(*line.split())


def test_no_command_line_at_all_is_told_in_one_line(fails):
    assert "--help" in fails()


@pytest.mark.parametrize(
    "arguments",
    [
        ("client", "--type", "1", "--message", "é" * 128),
        ("client", "--type", "1", "--message", "\udcff"),  # bytes that are no UTF-8
        ("binder", "--listen", "a b:2222"),
        ("binder", *["--peer", "127.0.0.1:1"], *[f"--peer=127.0.0.1:{p}" for p in range(2, 66)]),
        ("list", "--binder", ""),
        ("list", "--binder", f"127.0.0.1:{'9' * 5000}"),
        ("list", "--binder", "a..b:2222"),
        ("list", "--binder", f"{'a' * 64}.b:2222"),
        ("list", "--binder", f"{'a' * 300}:2222"),
        ("list", "--no\nsuch"),
        ("list", "--config", "no\nsuch"),
    ],
    ids=lambda arguments: repr(arguments[-1][:20]),
)
def test_wrong_arguments_are_told_in_one_line(arguments, fails):
    fails(*arguments)


def test_a_name_without_an_address_is_told_in_one_line(fails, monkeypatch):
    def getaddrinfo(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert "'no.such.host'" in fails("list", "--binder", "no.such.host:2222")


def test_a_port_that_is_taken_is_told_in_one_line(fails):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        assert "another program" in fails(
            "binder", "--listen", "127.0.0.1:{1}".format(*taken.getsockname())
        )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PRR_BINDERS", "127.0.0.1"),
        ("PRR_BINDERS", "127.0.0.1:2222,"),
        ("PRR_BINDERS", "127.0.0.1:2222 127.0.0.1:2223"),
        ("PRR_BINDERS", ""),
        ("PRR_TYPE", "300"),
        ("PRR_COUNT", "-1"),
        ("PRR_INTERVAL", "1s"),
        ("PRR_CONFIG", "/no/such/file.toml"),
    ],
)
def test_a_wrong_variable_is_told_in_one_line(variable, value, fails, monkeypatch):
    monkeypatch.setenv(variable, value)
    type_ = () if variable == "PRR_TYPE" else ("--type", "1")
    message = fails("client", *type_)
    assert variable in message or value in message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[client]\ncuont = 1", "cuont"),
        ("[client]\npeers = []", "peers"),
        ("[clinet]\ncount = 1", "clinet"),
        ("count = 1", "count"),
        ("client = 1", "client"),
        ("[client]\ncount = 0", "count"),
        ("[client]\ncount = true", "count"),
        ("[client]\ncount = []", "count"),
        ("[client]\ncount = 1979-05-27", "count"),
        ("[client]\ninterval = inf", "interval"),
        ("[client]\ntype = 256", "type"),
        ("[client]\ntype = -1", "type"),
        ("[client]\nbinders = '127.0.0.1:2222'", "binders"),
        ("[client]\nbinders = [2222]", "binders"),
        ("[client]\nbinders = ['127.0.0.1:0']", "binders"),
        ("[client]\nbinders = []", "binders"),
        ("[binder]\nwire = '2016'\n[client]\ncount = 0", "count"),
        ("[client\ncount = 1", "TOML"),
        ("[client]\ncount = 1\ncount = 2", "TOML"),
        (b"[client]\nmessage = '\xff'", "TOML"),
        (b"\0", "TOML"),
        (f"[client]\ncount = {'9' * 5000}", "TOML"),
        (f"[client]\ncount = 0x{'f' * 5000}", "count"),
        (f"[client]\ncount = {'[' * 5000}", "TOML"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_a_wrong_file_is_told_in_one_line(text, named, fails, toml):
    assert named in fails("client", "--config", toml(text))


@pytest.mark.parametrize("verb", [("lookup", "1"), ("list",), ("client", "--type", "1")])
def test_an_empty_list_of_binders_is_wrong_for_whoever_asks_one(verb, fails, toml):
    assert "binders" in fails(*verb, "--config", toml("[client]\nbinders = []"))


@pytest.mark.parametrize(
    "text",
    [
        "[services]\necho = 256",
        "[services]\necho = '1'",
        "[services]\necho = true",
        "[services",
        "services = 1",
        "services = []",
    ],
)
def test_a_wrong_file_of_services_is_told_in_one_line(text, fails, toml, monkeypatch, tmp_path):
    toml(text)
    monkeypatch.setattr(services, "SERVICES_FILE", tmp_path / "prr.toml")
    fails("lookup", "echo")


def test_a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default(
    monkeypatch, toml
):
    config = toml(
        "[binder]\nlisten = '127.0.0.1:1'\npeers = ['10.0.0.1:1']\nwire = 'lab2016'\n"
        "[server]\ntype = 1"
    )
    in_file = {"listen": ("127.0.0.1", 1), "peers": (("10.0.0.1", 1),), "wire": WireForm.LAB2016}
    flags = {"listen": "127.0.0.1:3", "peers": ["10.0.0.3:1", "10.0.0.3:2"], "wire": "spec"}
    nothing = dict.fromkeys(flags)

    def given(**more):
        return gather("binder", SETTINGS["binder"], nothing | more)

    assert given() == {}  # what is not there is the default's
    assert given(config=config) == in_file
    monkeypatch.setenv("PRR_CONFIG", config)
    assert given() == in_file
    monkeypatch.setenv("PRR_LISTEN", "127.0.0.1:2")
    assert given() == in_file | {"listen": ("127.0.0.1", 2)}
    monkeypatch.setenv("PRR_PEERS", "10.0.0.2:1, 10.0.0.2:2,10.0.0.2:1")
    assert given()["peers"] == (("10.0.0.2", 1), ("10.0.0.2", 2))
    assert given(**flags) == {
        "listen": ("127.0.0.1", 3),
        "peers": (("10.0.0.3", 1), ("10.0.0.3", 2)),
        "wire": WireForm.SPEC,
    }


def test_the_file_that_is_named_by_the_flag_goes_before_the_one_in_the_environment(
    monkeypatch, toml
):
    monkeypatch.setenv("PRR_CONFIG", "/no/such/file.toml")
    assert gather("client", SETTINGS["client"], {"config": toml("[client]\ncount = 3")}) == {
        "count": 3
    }


def test_every_value_comes_out_of_the_file_as_it_comes_from_a_flag(toml):
    config = toml(
        "[client]\ntype = 'echo'\nbinders = ['localhost:1']\nmessage = 'é'\ncount = 2\n"
        "interval = 0.5\nretry_unknown = 1"
    )
    flags = {
        "type": "1",
        "binders": ["localhost:1"],
        "message": "é",
        "count": "2",
        "interval": "0.5",
        "retry_unknown": "1",
    }
    expected = {
        "type": 1,
        "binders": (("localhost", 1),),
        "message": "é",
        "count": 2,
        "interval": 0.5,
        "retry_unknown": 1.0,
    }
    assert gather("client", SETTINGS["client"], flags) == expected
    assert gather("client", SETTINGS["client"], {"config": config}) == expected


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("127.0.0.1", "use for example 127.0.0.1:2222"),
        ("127.0.0.1:99999", "use a port from 1 to 65535"),
        ("127.0.0:1", "use four numbers from 0 to 255, or a name"),
        ("::1:2222", "use brackets around an IPv6 address, as in [2001:db8::1]:2222"),
        ("[::1:2222", "use brackets around an IPv6 address"),
        ("[1.2.3.4]:2222", "use one such as 2001:db8::1"),
        ("[fe80::1%eth0]:2222", "and no interface"),
        ("[fe80::1]:2222", "use an IPv6 address that is one host's everywhere"),
        ("[ff02::1]:2222", "use an IPv6 address that is one host's everywhere"),
        ("[::]:2222", "use the host's address"),
        ("0.0.0.0:1", "use the host's address"),
    ],
)
def test_an_address_that_is_not_one_is_told_with_what_to_use_instead(text, instead, fails):
    message = fails("list", "--binder", text)
    assert instead in message
    assert "is no " not in message


@pytest.mark.parametrize("program", ["node.py", "prr"])
@pytest.mark.parametrize(
    "verb", [*SETTINGS, "lookup 1", "list", "status", "why 1 127.0.0.1:1", "demo"]
)
def test_an_unknown_flag_is_that_verb_s_affair(verb, program, capsys):
    assert main([*verb.split(), "--no-such-flag"], program) == 2
    assert capsys.readouterr().err.endswith(f"; see {program} {verb.split()[0]} --help\n")


def help_of(*arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", [(), *(verb.split() for verb in parser.EXAMPLES)])
def test_every_help_has_an_example_and_all_exit_codes(verb, capsys):
    text = help_of(*verb, capsys=capsys)
    assert f"example: {' '.join(('prr', *verb))}" in text
    told = text.partition("exit codes:")[2].partition("A value")[0]
    codes = [code for name, code in vars(exits).items() if name.isupper()]
    for code in [*codes, 130]:
        assert re.search(rf"\b{code} [a-z]", told)


@pytest.mark.parametrize(
    ("verb", "default"),
    [
        ("binder", "127.0.0.1:2222"),
        ("binder", "spec"),
        ("binder", "15"),
        ("server", "127.0.0.1:2222"),
        ("client", "hello"),
        ("client", "1"),
        ("list", "table"),
        ("lookup", "127.0.0.1:2222"),
    ],
)
def test_the_help_tells_the_defaults(verb, default, capsys):
    assert f"(default: {default})" in " ".join(help_of(verb, capsys=capsys).split())


@pytest.mark.smoke
def test_the_help_of_an_example_is_a_command_line_that_can_be_read():
    for verb, rest in parser.EXAMPLES.items():
        words = f"{verb} {rest}".partition(" > ")[0].split()
        parser.parser_of("prr").parse_args(words)


def test_settings_are_checked_by_what_reads_them_and_nothing_is_started(tmp_path, fails):
    path = tmp_path / "prr.toml"
    for role, sound, wrong, why in (
        ("binder", "lease = 9", "lease = no", "TOML"),
        ("binder", 'peers = ["10.0.0.1:2222"]', "wire = 7", "spec or lab2016"),
        ("binder", "", 'peers = ["10.0.0.1:2222", "127.0.0.1:2222"]', "in one cluster"),
        ("server", "type = 1", "type = 256", "256"),
        ("server", "type = 1", 'type = 1\nbinders = ["nowhere.invalid:1"]', "cannot resolve"),
    ):
        path.write_text(f"[{role}]\n{sound}")
        assert main([role, "--config", str(path), "--check"]) == 0
        path.write_text(f"[{role}]\n{wrong}")
        assert why in fails(role, "--config", str(path), "--check")


def test_a_package_that_is_missing_is_named_with_how_to_install_it(fails, monkeypatch):
    def lacking(name):
        def run(*_):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return run

    monkeypatch.setattr("prr.cli.main._run", lacking("msgpack._cmsgpack"))
    said = fails("lookup", "2")
    assert "cannot load the package msgpack (No module named 'msgpack._cmsgpack')" in said
    assert "-m pip install --requirement" in said
    monkeypatch.setattr("prr.cli.main._run", lacking("prr.core.nothing"))
    with pytest.raises(ModuleNotFoundError):  # a mistake of ours is none of the installation
        main(["lookup", "2"])


def test_a_command_keeps_each_of_its_words(monkeypatch, toml):
    """Also those that it has twice; in the environment as a shell has them."""
    run = SETTINGS["run"]
    assert gather("run", run, {"command": ["a", "-v", "-v"]})["command"] == ("a", "-v", "-v")
    path = toml('run.command = ["a", "b c", "b c"]')
    assert gather("run", run, {"config": path})["command"] == ("a", "b c", "b c")
    monkeypatch.setenv("PRR_COMMAND", "a 'b, c' -v -v")
    assert gather("run", run, {"command": []})["command"] == ("a", "b, c", "-v", "-v")
    monkeypatch.setenv("PRR_COMMAND", "a 'b")
    with pytest.raises(BadInput, match=r"PRR_COMMAND.*quot"):
        gather("run", run, {"command": []})
