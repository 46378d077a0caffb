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


def make_wheels(directory: Path) -> None:
    """Put a wheel of each of them into a directory."""
    directory.mkdir()
    for name, one in needed().items():
        tags = [
            line.removeprefix("Tag: ")
            for line in one.read_text("WHEEL").splitlines()
            if line.startswith("Tag: ")
        ]
        stem = name.replace("-", "_").replace(".", "_")
        with ZipFile(directory / f"{stem}-{one.version}-{tags[0]}.whl", "w") as wheel:
            for file in one.files:
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    wheel.write(one.locate_file(file), str(file))
