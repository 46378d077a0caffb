"""prr installed to the letter of docs/operations.md, under a real systemd."""

from tests.systemd import needs_system_python, run_installed


@needs_system_python
def test_a_node_alone_is_ready_with_the_settings_as_they_are_installed(tmp_path):
    found = run_installed(tmp_path, "alone")
    for name in ("binder", "with an empty file", "server"):
        assert found[name]["ActiveState"] == "active", (name, found)
        assert found[name]["NRestarts"] == "0", (name, found)
    assert found["binder"]["StatusText"].startswith("synced; 0 instances")
    without_a_type = found["a server with an empty file"]
    assert (without_a_type["ActiveState"], without_a_type["ExecMainStatus"]) == ("failed", "2")


@needs_system_python
def test_a_bad_installation_gives_up_and_says_why(tmp_path):
    found = run_installed(tmp_path, "broken")
    packages = found["packages"]
    assert (packages["ActiveState"], packages["ExecMainStatus"]) == ("failed", "2")
    assert "cannot load the package gevent" in packages["log"]
    assert "-m pip install --requirement /opt/prr/requirements.txt" in packages["log"]
    assert "Traceback" not in packages["log"]
    for name, code in (("interpreter", "203"), ("directory", "226")):
        assert (found[name]["ActiveState"], found[name]["ExecMainStatus"]) == ("failed", code)
        assert found[name]["NRestarts"] == "0"
        assert not found[name]["socket"]
    assert 1 <= int(found["crash"]["NRestarts"]) <= 200  # as often as Python can start
