"""Wheels of what is installed here, so that a test can install it elsewhere without a network."""

from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

from tests.nodes import ROOT


def needed() -> dict[str, Distribution]:
    """What requirements.txt names, and what that needs, by name."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = [line.partition("#")[0].strip() for line in lines]
    wanted = [Requirement(name).name for name in names if name]
    found: dict[str, Distribution] = {}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        needs = map(Requirement, found[name].requires or ())
        wanted += [
            one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


def wheel_name(one: Distribution) -> str:
    """The name of its wheel, with all that it runs on: py2 and py3, say, not the first of them."""
    lines = one.read_text("WHEEL").splitlines()
    tags = [line.removeprefix("Tag: ").split("-") for line in lines if line.startswith("Tag: ")]
    together = [".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True)]
    stem = one.name.replace("-", "_").replace(".", "_")
    return f"{stem}-{one.version}-{'-'.join(together)}.whl"


def make_wheels(directory: Path) -> None:
    """Put a wheel of each of them into a directory."""
    directory.mkdir()
    for one in needed().values():
        with ZipFile(directory / wheel_name(one), "w") as wheel:
            for file in one.files:
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    wheel.write(one.locate_file(file), str(file))
