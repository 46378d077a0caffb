"""`python -m tests.sim SEED` replays one run with its trace; `--seeds A:B` judges many."""

import argparse
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.sim.faults import options_for
from tests.sim.run import COMMAND, Result, explain, run
from tests.sim.trace import Trace

JOBS = 2
CHUNK = 8  # seeds a process takes at a time


def main() -> int:
    """The exit code: 0 if every run was well, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this one with its trace")
    parser.add_argument("--seeds", metavar="A:B", help="judge the seeds from A up to B")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"processes (default {JOBS})")
    parser.add_argument("--digest", action="store_true", help="print the trace's digest only")
    parser.add_argument("--brief", action="store_true", help="a line for each failure, no trace")
    arguments = parser.parse_args()
    if arguments.seeds is not None:
        first, last = map(int, arguments.seeds.split(":"))
        return judge(range(first, last), arguments.jobs, arguments.brief)
    if arguments.seed is None:
        parser.error("write a SEED, or --seeds A:B")
    return replay(arguments.seed, arguments.digest)


def replay(seed: int, digest_only: bool) -> int:
    """One run: its options, its trace, its verdict."""
    trace = Trace(on=True, echo=None if digest_only else print)
    if not digest_only:
        print("\n".join(options_for(seed).lines()))
    result = run(seed, trace)
    if digest_only:
        print(trace.digest)
        return 0
    print(f"{result.steps} steps, {result.seconds:.1f} virtual seconds, trace {trace.digest}")
    print(f"FAILED: {result.reason}" if result.reason else "all well")
    return 1 if result.reason else 0


def judge(seeds: range, jobs: int, brief: bool) -> int:
    """Many runs: each failure as it comes, at the end a summary by reason."""
    kinds: Counter[str] = Counter()
    examples: dict[str, int] = {}
    started_at = time.monotonic()
    with Pool(jobs) as pool:
        for done, result in enumerate(pool.imap(run, seeds, CHUNK), 1):
            if result.kind is not None:
                show("")
                _tell(result, brief or result.kind in examples)
                kinds[result.kind] += 1
                examples.setdefault(result.kind, result.seed)
            left = (time.monotonic() - started_at) / done * (len(seeds) - done)
            show(f"{done} of {len(seeds)} seeds, some {left:.0f} s left")
    show("")
    took = time.monotonic() - started_at
    failed = sum(kinds.values())
    print(f"{len(seeds)} seeds in {took:.1f} s with {jobs} processes, {failed} failed")
    for kind, count in kinds.most_common():
        print(f"{count:6}  {kind}   ({COMMAND.format(seed=examples[kind])})")
    return 1 if failed else 0


def _tell(result: Result, brief: bool) -> None:
    """Write what failed: in a line, or with the end of its trace."""
    if brief:
        print(f"seed {result.seed}: {result.reason}", flush=True)
    else:
        explain(result, print)
        print(flush=True)


def show(progress: str) -> None:
    """Write the one line that says how far it is anew; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.exit(1)  # whoever read the trace has seen enough
