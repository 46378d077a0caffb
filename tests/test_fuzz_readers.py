"""Everything that reads what others wrote, fed with what nobody should write: see tests/fuzz."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutator import inputs
from tests.fuzz.target import CORPUS, RUNS
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.elsewhere

ROOT = Path(__file__).parents[1]

RUNS_SHORT = RUNS // 400
SECONDS_MAX = 1.0
"""Of CPU time for one input, a thousand times what any takes: what is longer grows with more than
the length of the input."""

CORPUS_BYTES_MAX = 200_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_near_to_good_input_is_refused_or_means_something(name):
    target = TARGETS[name]
    count = RUNS_SHORT * target.runs // RUNS or 1
    taken, longest = {True: 0, False: 0}, 0.0
    for data in inputs(target.corpus(), count, Random(name)):
        began = time.process_time()
        try:
            taken[target.takes(data)] += 1
        except BaseException:
            print(f"{name}: {data.hex()}")
            raise
        longest = max(longest, time.process_time() - began)
    assert min(taken.values()) >= 1, taken  # else it is no test of the one or the other
    assert longest < SECONDS_MAX


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_million_inputs_that_are_led_by_the_lines_they_reach(name):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: pip install -r tests/fuzz/requirements.txt")
    run = [sys.executable, "-m", "tests.fuzz", name, "--runs", str(TARGETS[name].runs)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_corpus_is_small_and_of_targets_that_there_are():
    files = [*CORPUS.iterdir()]
    assert {file.stem for file in files} <= set(TARGETS)
    assert sum(file.stat().st_size for file in files) < CORPUS_BYTES_MAX
