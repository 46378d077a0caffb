"""Clients without our library: `lookup --format`, and `exec`."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from prr.cli.formats import check_format, fill_in
from prr.config import BadInput
from tests.nodes import NODE, Peer, run

AT = ("10.0.0.5", 8080)


@pytest.mark.parametrize(
    ("text", "filled_in"),
    [
        ("{}", "10.0.0.5:8080"),
        ("{ip}:{port}", "10.0.0.5:8080"),
        ("--host={ip} --port={port}", "--host=10.0.0.5 --port=8080"),
        ("url:http", "http://10.0.0.5:8080"),
        ("url:postgresql", "postgresql://10.0.0.5:8080"),
    ],
)
def test_an_address_is_put_where_the_format_says(text, filled_in):
    assert fill_in(check_format(text), AT) == filled_in


@pytest.mark.parametrize("text", ["", "ip", "{host}", "{ip}{what}", "url:", "url:h ttp", "url:1"])
def test_a_wrong_format_is_told(text):
    with pytest.raises(BadInput, match="use"):
        check_format(text)


def test_a_command_s_other_braces_stay():
    assert fill_in("awk '{print $1} {x}' {}", AT) == "awk '{print $1} {x}' 10.0.0.5:8080"


@pytest.fixture
def served(cluster):
    """A binder, and a bare server that has subscribed with it as type 7."""
    binder, peer = cluster.binder(), Peer()
    assert peer.ask(bytes([5, 7]), binder.address) == bytes([6])
    binder.peer = peer
    yield binder
    peer.close()


def execute(binder, *arguments):
    return run("exec", "--binder", binder.name, *arguments)


def hears_no_complaint(binder):
    time.sleep(0.2)
    return not binder.matching("complaint")


@pytest.mark.smoke
def test_lookup_prints_what_the_format_says(served):
    ip, port = served.peer.address
    done = run("lookup", "7", "--binder", served.name, "--format", "url:http")
    assert (done.returncode, done.stdout) == (0, f"http://{ip}:{port}\n")
    done = run("lookup", "7", "--binder", served.name, "--format", "{port} {ip}")
    assert done.stdout == f"{port} {ip}\n"
    both = run("lookup", "7", "--format", "{}", "--output", "json")
    assert both.returncode == 2 and "not allowed with" in both.stderr


@pytest.mark.smoke
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_takes_it_as_it_is(cluster):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from the web")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    binder, peer = cluster.binder(), Peer(port=server.server_address[1])
    try:
        peer.ask(bytes([5, 7]), binder.address)
        code = f"curl --silent $({sys.executable} {NODE[0]} lookup 7 --binder {binder.name} "
        code += "--format url:http)"
        done = subprocess.run(["sh", "-c", code], capture_output=True, text=True, timeout=20)
        assert done.stdout == "hello from the web"
    finally:
        peer.close()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.smoke
def test_exec_runs_a_command_with_the_address_in_it_and_has_its_exit_code(served):
    ip, port = served.peer.address
    done = execute(
        served, "7", "--", "sh", "-c", 'echo "$@"; exit 9', "sh", "{}", "--at={ip}/{port}"
    )
    assert done.stdout == f"{ip}:{port} --at={ip}/{port}\n"
    assert done.returncode == 9
    assert hears_no_complaint(served)


@pytest.mark.smoke
@pytest.mark.parametrize("codes", ["any", "9", "7,9"])
def test_exec_complains_when_the_command_ends_with_one_of_these_codes(served, codes):
    done = execute(served, "--complain-on", codes, "7", "--", "sh", "-c", "exit 9", "{}")
    assert done.returncode == 9
    assert "exit code 9; the binders were told" in done.stderr
    served.wait_for("complaint type 7")


@pytest.mark.smoke
@pytest.mark.parametrize("code", ["exit 0", "exit 8"])
def test_exec_does_not_complain_otherwise(served, code):
    done = execute(served, "--complain-on", "9", "7", "--", "sh", "-c", code, "{}")
    assert done.stderr == ""
    assert hears_no_complaint(served)


@pytest.mark.smoke
def test_exec_passes_signals_on_and_says_which_one_killed_the_command(served):
    process = subprocess.Popen(
        [
            *(sys.executable, *NODE, "exec", "--complain-on", "9", "--binder", served.name, "7"),
            *("--", "sh", "-c", "echo ready; exec sleep 60", "{}"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("7", "--", "true"), 2, "{ip}"),
        (("7", "--", "/no/such", "{}"), 2, "No such file"),
        (("--complain-on", "x", "7", "--", "true", "{}"), 2, "exit codes"),
        (("8", "--", "true", "{}"), 1, "knows no service"),
        (("7",), 2, "COMMAND"),
    ],
)
def test_what_cannot_be_run_is_told(served, arguments, code, said):
    done = execute(served, *arguments)
    assert done.returncode == code
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.smoke
def test_without_a_binder_the_command_is_not_run():
    done = run("exec", "--binder", "127.0.0.1:1", "7", "--", "sh", "-c", "echo run", "{}")
    assert (done.returncode, done.stdout) == (3, "")
