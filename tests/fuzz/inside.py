"""libFuzzer, in a process of its own, which it ends: `python -m tests.fuzz.inside NAME ...`, with
its own arguments behind the name of a target."""

import sys

import atheris

with atheris.instrument_imports(include=["prr"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    program, name, *arguments = sys.argv
    target = TARGETS[name]

    def take(data: bytes) -> None:
        """What libFuzzer calls: nothing is to be returned."""
        target.takes(data)

    atheris.Setup([program, *arguments], take)
    atheris.Fuzz()
