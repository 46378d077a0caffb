"""`pip install .`: the package, its data and its command, in an environment of its own."""

import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

import prr
from tests.nodes import ROOT
from tests.wheels import needed, wheel_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = ("pyproject.toml", "README.md", "prr", "conf")


def test_the_package_needs_what_requirements_txt_says_a_node_needs():
    text, _, _ = (ROOT / "requirements.txt").read_text().partition("# What the tests need")
    parts = re.split(r"(?m)^# .*\(the extra (\w+)\).$", text)
    needed = [re.findall(r"(?m)^([a-z]\S+)", part) for part in parts[::2]]
    assert PROJECT["project"]["dependencies"] == needed[0]
    assert PROJECT["project"]["optional-dependencies"] == dict(
        zip(parts[1::2], needed[1:], strict=True)
    )


def test_every_package_is_installed():
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "prr").rglob("*.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found | {"prr.conf"}


def test_what_the_tests_install_elsewhere_is_what_this_python_takes():
    names = [wheel_name(one) for one in needed().values()]
    takes = set(sys_tags())
    assert [name for name in names if not parse_wheel_filename(name)[3] & takes] == []


@pytest.mark.smoke
def test_the_module_is_the_same_command_and_tells_its_version():
    for program in (["-m", "prr"], [str(ROOT / "node.py")]):
        done = subprocess.run(
            [sys.executable, *program, "--version"], cwd=ROOT, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, f"prr {prr.__version__}\n")


@pytest.mark.slow
def test_the_wheel_has_all_of_the_package_and_its_command_works(tmp_path):
    source = tmp_path / "source"
    for name in SOURCES:  # a build leaves files beside what it builds
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    venv.create(tmp_path / "venv", with_pip=True)
    bin_ = tmp_path / "venv" / "bin"

    def run(*command):
        return subprocess.run(
            list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    built = run(bin_ / "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("prr-*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "prr").rglob("*.py")}
    assert inside == modules | {
        "prr/py.typed",
        "prr/conf/announce.toml",
        "prr/conf/prr.toml",
        "prr/conf/services.toml",
        "prr/shell/http/page/index.html",
        "prr/shell/http/page/page.css",
        "prr/shell/http/page/page.js",
    }
    installed = run(bin_ / "pip", "install", wheel)
    assert installed.returncode == 0, installed.stderr
    version = run(bin_ / "prr", "--version")
    assert (version.returncode, version.stdout) == (0, f"prr {prr.__version__}\n")
    assert run(bin_ / "python", "-c", "import prr; prr.Client('127.0.0.1:1')").returncode == 0
    lookup = run(bin_ / "prr", "lookup", "echo", "--binder", "127.0.0.1:1")
    assert lookup.returncode == 3, lookup.stderr  # it knew the name
    demo = run(bin_ / "prr", "demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
