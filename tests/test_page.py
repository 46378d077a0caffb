"""The page: its files as they are served, and what is seen of it in a real browser."""

import re
import signal
import time
from contextlib import ExitStack

import pytest

from benchmarks.nodes import make_instances, start_full_binders
from prr.demo.ports import free_port
from prr.shell.http.assets import FOLDER
from tests.browser import WHY_NOT, browsing
from tests.http_of import ask, binder_with_http, where
from tests.keys import ME, write_credential, write_keyring
from tests.nodes import UNASKED, eventually, seldom_late, wire
from tests.stopping import stop

MARKUP = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"

SHOWN_LIMIT = 1.0
"""Seconds from a complaint to its cell."""

BACK_WITHIN = 30.0
"""Seconds from when a binder is back until its page is: it tries again after 15 at most."""

TASK_MAX_MS = 500
"""The longest task in the page while 200 changes come a second, on a machine with other work."""


def smoke(test):
    """A test that needs a browser: some seconds each."""
    return pytest.mark.smoke(pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")(test))


@pytest.fixture(scope="module")
def window():
    """One browser for all tests."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def browser(window):
    """The browser, as if it had just been started."""
    window.emulate(1200, 800)
    return window


@pytest.fixture
def binder(cluster):
    return binder_with_http(cluster, limits=UNASKED)


# The files


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("path", "name", "media_type"),
    [
        ("/", "index.html", "text/html"),
        ("/page.css", "page.css", "text/css"),
        ("/page.js", "page.js", "text/javascript"),
    ],
)
def test_its_files_are_served_under_a_policy_without_exceptions(path, name, media_type, binder):
    answer = ask(binder, path)
    assert (answer.status, answer.body) == (200, (FOLDER / name).read_bytes())
    assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_it_is_served_to_who_has_not_entered_a_token_yet(cluster, tmp_path):
    keys = ("--key", str(write_keyring(tmp_path)), "--require-lookup")
    binder = binder_with_http(cluster, *keys)
    assert ask(binder, "/v1/services").status == 401
    for path in ("/", "/page.css", "/page.js"):
        assert ask(binder, path).status == 200


def test_nothing_comes_from_elsewhere_no_data_becomes_markup_and_no_token_is_stored():
    for path in FOLDER.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        for word in ("https?:", "HTML", r"document\.write", r"\beval\b", "Storage", "cookie"):
            assert not re.search(word, text), (path.name, word)


# In a browser


def complain(peers, type_, server, binder):
    peers().send(b"\x04" + wire(type_, server.address), binder.address)


@smoke
def test_a_death_its_verification_and_the_return_are_seen(browser, cluster, binder, peers):
    server, other = cluster.server(2, binder), cluster.server(2, binder)
    browser.open(binder)
    browser.wait(lambda: browser.cells == {server.name: "up", other.name: "up"})
    again = ("server", "--type", "2", "--listen", server.name, "--binder", binder.name)
    running = [server]

    def shown():
        running[-1].kill()
        began = time.monotonic()
        complain(peers, 2, server, binder)
        browser.wait(lambda: browser.cells[server.name] == "gone")
        took = time.monotonic() - began
        assert browser.cells[other.name] == "up"
        events = browser.text("events")
        assert f"gone time {server.name} evicted: refused 2 questions" in events
        assert f"suspect time {server.name} complaint: " in events
        running.append(cluster.start(*again))
        running[-1].wait_for("confirmed")
        browser.wait(lambda: browser.cells[server.name] == "up")
        return took

    seldom_late(shown, SHOWN_LIMIT)


@smoke
def test_a_connection_that_is_lost_is_said_and_comes_back(browser, cluster, binder):
    server = cluster.server(2, binder)
    browser.open(binder)
    browser.wait(lambda: server.name in browser.cells)
    address, http = binder.name, "{}:{}".format(*where(binder))
    binder.kill()
    server.kill()
    browser.wait(lambda: browser.banner[0] == "lost")
    browser.wait(lambda: "Connection lost: the binder is not reached" in browser.banner[1])
    assert browser.cells == {server.name: "up"}  # as it was when it was heard last
    time.sleep(1)
    again = cluster.start("binder", "--listen", address, "--http", http)
    again.wait_for("HTTP at")
    new = cluster.server(3, again)
    eventually(lambda: browser.banner[0] == "live", BACK_WITHIN)
    browser.wait(lambda: browser.cells == {new.name: "up"})


@smoke
def test_after_a_short_cut_it_is_told_what_it_has_missed_and_lists_nothing_anew(
    browser, cluster, binder
):
    first = cluster.server(2, binder)
    browser.open(binder)
    browser.wait(lambda: browser.cells == {first.name: "up"})
    # What is cut before its list is whole lists it anew.
    browser.wait(lambda: browser.run("return lastId !== '' && listing === null"))
    lists = (
        "return performance.getEntriesByType('resource')"
        ".filter((one) => /v1.services/.test(one.name)).length"
    )
    before = browser.run(lists)
    browser.run(
        "window.said = []; new MutationObserver(() => said.push($('banner').textContent))"
        ".observe($('banner'), { childList: true });"
        "watching.abort(new Error('it was cut'))"
    )  # it is back after half a second, whether somebody has looked or not
    cut = "Connection lost: it was cut"
    browser.wait(lambda: any(cut in one for one in browser.run("return said")))
    second = cluster.server(3, binder)
    browser.wait(lambda: browser.banner[0] == "live")
    browser.wait(lambda: browser.cells == {first.name: "up", second.name: "up"})
    browser.wait(lambda: f"{second.name} subscribed" in browser.text("events"))
    assert browser.run(lists) == before


@smoke
def test_what_servers_and_operators_write_is_text(browser, cluster, binder):
    where_to = ("--binder", binder.name, "--tag", f"x={MARKUP}")
    server = cluster.start("server", "--type", "2", *where_to)
    server.wait_for("confirmed")
    browser.open(binder)
    which = {"service": "2", "address": server.name, "why": MARKUP[:60]}
    assert ask(binder, "/v1/drains", "POST", which | {"seconds": 60, "last": True}).status == 200
    assert ask(binder, "/v1/complaints", "POST", which).status == 200
    browser.wait(lambda: browser.cells.get(server.name) == "drained")
    browser.click_cell(server.name)
    browser.wait(lambda: f"tag x{MARKUP}" in browser.text("facts"))
    browser.wait(lambda: MARKUP[:60] in browser.text("history"))
    assert f"drained because{MARKUP[:60]}" in browser.text("facts")
    browser.wait(lambda: MARKUP[:60] in browser.text("events"))
    assert browser.run("return document.querySelectorAll('img, body script').length") == 0
    browser.run(
        "const one = document.createElement('script'); one.textContent = 'window.hacked = 1';"
        "document.body.append(one); one.remove();"
        "document.body.insertAdjacentHTML('beforeend', arguments[0]);",
        MARKUP,
    )  # even were it taken for markup, the policy lets none of it run
    time.sleep(0.2)
    assert browser.run("return window.hacked ?? null") is None


@smoke
def test_it_is_used_by_keyboard(browser, cluster, binder):
    from selenium.webdriver.common.keys import Keys

    servers = [cluster.server(2, binder) for _ in range(3)]
    browser.open(binder)
    browser.wait(lambda: len(browser.cells) == 3)
    first, second, third = browser.addresses
    assert {first, second, third} == {one.name for one in servers}
    focus = "return document.activeElement.getAttribute('aria-label')"
    browser.run("$('use-token').focus()")
    browser.press(Keys.TAB)
    assert browser.run(focus) == f"{first}, up"
    for key, address in (
        (Keys.ARROW_RIGHT, second),
        (Keys.END, third),
        (Keys.ARROW_RIGHT, third),
        (Keys.HOME, first),
        (Keys.ARROW_DOWN, third),
        (Keys.ARROW_LEFT, second),
    ):
        browser.press(key)
        assert browser.run(focus) == f"{address}, up"
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.run("return $('details').open"))
    assert browser.text("details-title") == f"time at {second}"
    browser.press(Keys.ESCAPE)
    browser.wait(lambda: not browser.run("return $('details').open"))
    browser.wait(lambda: browser.run(focus) == f"{second}, up")  # it is told that it was closed
    browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.id") == "events"


@smoke
def test_with_keys_it_says_that_a_token_is_needed_takes_one_and_stores_none(
    browser, cluster, tmp_path
):
    binder = binder_with_http(cluster, "--key", str(write_keyring(tmp_path)))
    token = re.search(r'(?m)^token = "(\S+)"', write_credential(tmp_path, ME).read_text())[1]
    browser.open(binder)
    browser.wait(lambda: "Needs an operator's token" in browser.text("binders-note"))
    browser.run("$('token').focus()")
    browser.press(token, "\ue007")
    browser.wait(lambda: "this one" in browser.text("binders"))
    assert browser.run("return $('token').value") == ""
    stores = "return [localStorage.length, sessionStorage.length, document.cookie]"
    assert browser.run(stores) == [0, 0, ""]


@smoke
def test_an_operator_drains_an_instance_and_puts_it_back(browser, cluster, binder):
    server = cluster.server(2, binder)
    browser.open(binder)
    browser.wait(lambda: browser.cells == {server.name: "up"})
    browser.click_cell(server.name)
    browser.run("$('why').value = 'upgrade'; $('drain').click()")
    browser.wait(lambda: "is the last of its service in turn" in browser.text("problem"))
    browser.run("$('last').checked = true; $('drain').click()")
    browser.wait(lambda: browser.cells == {server.name: "drained"})
    browser.wait(lambda: "drained becauseupgrade" in browser.text("facts"))
    assert re.search(r"last heard\d+\.\d s ago", browser.text("facts"))
    browser.run("$('undrain').click()")
    browser.wait(lambda: browser.cells == {server.name: "up"})
    browser.run("$('close').click()")


@smoke
def test_where_there_are_keys_an_operator_drains_with_his_token(browser, cluster, tmp_path):
    binder = binder_with_http(cluster, "--key", str(write_keyring(tmp_path)), "--require", "log")
    token = re.search(r'(?m)^token = "(\S+)"', write_credential(tmp_path, ME).read_text())[1]
    server = cluster.server(2, binder)
    browser.open(binder)
    browser.wait(lambda: browser.cells == {server.name: "up"})
    browser.click_cell(server.name)
    browser.run("$('last').checked = true; $('drain').click()")
    browser.wait(lambda: "Needs an operator's token" in browser.text("problem"))
    assert browser.cells == {server.name: "up"}
    browser.run("$('close').click()")
    browser.wait(lambda: not browser.run("return $('details').open"))
    browser.run("$('token').focus()")
    browser.press(token, "\ue007")
    browser.wait(lambda: browser.text("use-token") == "In use")
    browser.click_cell(server.name)
    browser.run("$('last').checked = true; $('drain').click()")
    browser.wait(lambda: browser.cells == {server.name: "drained"})


@pytest.mark.slow
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
def test_a_binder_that_falls_silent_is_said_to_be_lost_and_comes_back(browser, cluster, binder):
    server = cluster.server(2, binder)
    browser.open(binder)
    browser.wait(lambda: browser.cells == {server.name: "up"})
    stop(binder.process.pid)
    try:
        eventually(lambda: browser.banner[0] != "live", 60.0)
    finally:
        binder.process.send_signal(signal.SIGCONT)
    eventually(lambda: browser.banner[0] == "live", BACK_WITHIN)
    browser.wait(lambda: browser.cells == {server.name: "up"})


@smoke
def test_screenshots_and_no_screen_is_too_narrow(browser, cluster, tmp_path, peers):
    """docs/page.png is one of these."""
    binder, *_ = cluster.binders(3, "--http", "127.0.0.1:0")
    servers = [cluster.server(1 + number % 3, binder) for number in range(36)]
    browser.open(binder)
    browser.wait(lambda: len(browser.cells) == len(servers))
    body = {"service": "3", "address": servers[5].name, "seconds": 600, "why": "upgrade"}
    assert ask(binder, "/v1/drains", "POST", body).status == 200
    servers[1].kill()
    complain(peers, 2, servers[1], binder)
    browser.wait(lambda: {"gone", "drained"} <= set(browser.cells.values()))
    browser.wait(lambda: "All of them agree" in browser.text("binders-note"))
    browser.wait(lambda: "/s" in browser.text("plots"))
    narrow = "const e = document.documentElement; return e.scrollWidth <= e.clientWidth"
    for name, *screen in (
        ("light", 1200, 800, "light"),
        ("dark", 1200, 800, "dark"),
        ("phone", 360, 740, "light"),
        ("tiny", 320, 600, "dark"),
    ):
        browser.emulate(*screen)
        time.sleep(1)
        assert browser.driver.save_screenshot(str(tmp_path / f"{name}.png"))
        assert browser.run(narrow), name
    browser.click_cell(servers[1].name)
    browser.wait(lambda: "evicted" in browser.text("history"))
    assert browser.driver.save_screenshot(str(tmp_path / "details.png"))
    inside = "const d = $('details'); return d.scrollWidth <= d.clientWidth"
    assert browser.run(f"{narrow} && (() => {{ {inside} }})()")


@pytest.mark.slow
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
def test_ten_thousand_instances_stay_smooth(browser):
    port = free_port()
    with ExitStack() as processes:
        instances = make_instances(10_000, [2, 3])
        start_full_binders(1, instances, processes, arguments=[f"--http=127.0.0.1:{port}"])
        browser.driver.get(f"http://127.0.0.1:{port}/")
        browser.driver.set_script_timeout(60)
        first, responses = browser.driver.execute_async_script(DRAWN)
        browser.run(
            "window.tasks = []; new PerformanceObserver((list) => tasks.push(...list.getEntries()"
            ".map((one) => one.duration))).observe({ entryTypes: ['longtask'] });"
        )
        before = browser.layouts
        came, took, longest = browser.driver.execute_async_script(CHANGES)
        layouts = browser.layouts - before
    print(f"{first:.0f} ms to all cells, {responses:.0f} of them for the lists")
    print(f"{came / took:.0f} changes/s, longest task {longest} ms, {layouts} layouts")
    assert came >= 1000
    assert took < 10
    assert layouts < came / 2  # at most one a frame, whatever has changed
    assert longest < TASK_MAX_MS


DRAWN = """
const done = arguments[0];
const look = () => {
  if (cellCount < 10000 || pending.size || listing) { setTimeout(look, 10); return; }
  const lists = performance.getEntriesByType("resource").filter((one) => /services/.test(one.name));
  done([performance.now(), Math.max(...lists.map((one) => one.responseEnd))]);
};
look();
"""
"""When all is drawn, and when the last list had come, in ms."""

CHANGES = """
const done = arguments[0];
const cells = [...services.values()].flatMap((one) => [...one.cells.values()]);
const states = ["suspect", "gone", "up", "drained", "up"];
const began = performance.now(), before = changed;
let told = 0;
const timer = setInterval(() => {
  const due = Math.min(1000, (performance.now() - began) / 5);
  for (; told < due; told += 1) {
    const { service, address } = cells[(told * 7919) % cells.length];
    const row = { service: service.name, address, state: states[told % 5], event: "verified" };
    const data = JSON.stringify({ ...row, why: "it is a test", at: Date.now() / 1000 });
    hear({ event: "change", id: lastId, data });
  }
  if (told < 1000) return;
  clearInterval(timer);
  const took = (performance.now() - began) / 1000;
  setTimeout(() => done([changed - before, took, Math.max(0, ...tasks)]), 500);
}, 20);
"""
"""As if a binder told 200 changes a second, all over the page, for five seconds."""
