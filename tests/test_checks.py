"""The checks, against real programs: what passes, what fails, and that nothing stays behind."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from prr.core.printable import WORDS_MAX
from prr.demo.ports import free_port
from prr.text import parse_check
from tests.nodes import ROOT, Peer, eventually, seldom_late

TIMEOUT = 5.0
"""Seconds, for what is to have a result."""


@pytest.fixture(scope="module")
def checking():
    """A process that makes checks."""
    command = [sys.executable, "-m", "tests.checking"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def result(checking):
    """Makes a check: whether it has passed, its words, and how long it took. It leaves nothing."""

    def make(kind, what=None, address=None, timeout=TIMEOUT):
        checking.stdin.write(json.dumps([kind, what, address, timeout]) + "\n")
        checking.stdin.flush()
        passed, words, seconds, left = json.loads(checking.stdout.readline())
        assert left == []
        return passed, words, seconds

    return make


@pytest.fixture
def web():
    """A web server that answers /CODE with that code."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Host"]))
            self.send_response(int(self.path.strip("/").partition("?")[0]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.daemon_threads = seen, True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def listener():
    """A TCP socket that accepts, by its queue, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        yield listening


def http(server, path):
    address = server.server_address
    return "http", "http://{}:{}{}".format(*address, path), address


@pytest.mark.smoke
def test_tcp_passes_where_somebody_listens(result, listener):
    assert result("tcp", address=listener.getsockname())[:2] == (True, "it accepts connections")


def test_tcp_fails_where_nobody_does(result):
    passed, words, _ = result("tcp", address=("127.0.0.1", free_port()))
    assert not passed and "refused" in words


@pytest.mark.parametrize("code", [200, 204, 299])
def test_http_passes_with_success(result, web, code):
    assert result(*http(web, f"/{code}?fast=1"))[0]
    assert web.seen == [(f"/{code}?fast=1", "{}:{}".format(*web.server_address))]


@pytest.mark.parametrize("code", [302, 404, 500, 503])
def test_http_fails_with_anything_else_and_says_what_it_got(result, web, code):
    passed, words, _ = result(*http(web, f"/{code}"))
    assert not passed and str(code) in words


def test_http_fails_where_something_else_answers(result, listener):
    def answer():
        with listener.accept()[0] as accepted:
            accepted.recv(100)
            accepted.sendall(b"220 not a web server\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    url = "http://{}:{}/".format(*listener.getsockname())
    passed, words, _ = result("http", url, listener.getsockname())
    thread.join()
    assert not passed and "not an HTTP answer" in words


@pytest.mark.smoke
def test_http_that_hangs_fails_in_time_and_closes_its_connection(result, listener):
    url = "http://{}:{}/".format(*listener.getsockname())

    def hung():
        passed, words, seconds = result("http", url, listener.getsockname(), 0.2)
        assert not passed and words == "no result within 0.2 s"
        return seconds

    seldom_late(hung, 0.5)
    with listener.accept()[0] as accepted:
        assert accepted.recv(1000).startswith(b"GET / HTTP/1.1")
        assert accepted.recv(1000) == b""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_https_takes_a_certificate_of_its_own(result, web, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=elsewhere", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    url = "https://{}:{}/200".format(*web.server_address)
    assert result("http", url, web.server_address, 2.0)[0]


@pytest.mark.smoke
def test_https_that_hangs_in_its_handshake_closes_its_connection(result, listener):
    url = "https://{}:{}/".format(*listener.getsockname())
    assert not result("http", url, listener.getsockname(), 0.2)[0]
    with listener.accept()[0] as accepted:
        while accepted.recv(1000):
            pass


def test_udp_passes_with_any_answer(result):
    peer = Peer()
    thread = threading.Thread(target=lambda: (peer.receive(), peer.send(b"?", peer.source)))
    thread.start()
    passed, words, _ = result("udp", "0b", peer.address)
    thread.join()
    peer.close()
    assert passed and "1 bytes" in words


def test_udp_fails_when_refused_and_when_silent(result):
    assert "refused" in result("udp", "0b", ("127.0.0.1", free_port()))[1]
    peer = Peer()
    assert result("udp", "0b", peer.address, 0.1)[1] == "no result within 0.1 s"
    peer.close()


def test_exec_passes_with_exit_code_0_and_says_its_last_line(result):
    assert result("exec", ["sh", "-c", "echo one; echo; echo two"])[:2] == (True, "two")


def test_exec_fails_with_any_other_and_says_why(result):
    passed, words, _ = result("exec", ["sh", "-c", "echo no disk >&2; exit 3"])
    assert not passed and words == "sh: exit code 3 (no disk)"
    assert result("exec", ["sh", "-c", "kill -9 $$"])[1] == "sh: killed by signal 9"
    assert "No such file" in result("exec", ["/no/such/probe"])[1]


@pytest.mark.smoke
def test_exec_that_hangs_is_killed_with_all_that_it_has_started(result):
    def hung():
        passed, words, seconds = result("exec", ["sh", "-c", "sleep 987 & sleep 987"], timeout=0.2)
        assert not passed and "0.2 s" in words
        return seconds

    seldom_late(hung, 1.0)
    eventually(lambda: not running("987"))


def test_exec_leaves_nothing_in_the_background(result):
    assert result("exec", ["sh", "-c", "sleep 986 & echo fine"])[:2] == (True, "fine")
    eventually(lambda: not running("986"))


def test_exec_may_say_as_much_as_it_likes(result):
    command = ["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' 'x'; exit 1"]
    passed, words, _ = result("exec", command, timeout=3.0)
    assert not passed
    assert len(words) == WORDS_MAX


def test_what_a_check_says_is_one_harmless_line(result):
    words = result("exec", ["printf", "\\033[31mred\\n"])[1]
    assert words == "[31mred"


def running(argument):
    """A process `sleep argument` runs."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", argument.encode()]:
            return True
    return False


@pytest.mark.parametrize(
    "text",
    [
        *("tcp", "none", "http://127.0.0.1:8080/health", "https://localhost/"),
        *("http://[::1]:80/", "exec:./probe --fast", "exec:sh -c 'exit 0'", "udp:0b", "udp:00FF"),
    ],
)
def test_a_check_is_read_as_it_is_written(text):
    assert str(parse_check(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "tcp:80", "none:1", "nothing", "exec:", "exec:   ", "exec:'open"),
        *("http", "http:", "http://", "http://:80/", "http://127.0.0.1:99999/"),
        *("http://user@127.0.0.1/", "http://a b/", "udp:", "udp:0", "udp:xy"),
    ],
)
def test_a_wrong_check_is_told(text):
    with pytest.raises(ValueError, match=r"use|close|valid"):
        parse_check(text)
