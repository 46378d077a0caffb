"""The simulator: a second shell over the same cores, under virtual time and a seeded network.

`world` is time, `network` the paths and the sockets, `faults` what a seed decides, `weather` the
cuts and clogs, `process` and `processes` the shells, `cluster` who is there and what is really
so, `workload` what they do, `checkers` the rules, `run` one seed from its start to its verdict.
What it assumes of the cores beyond their calls stands in `adapter`.

    python -m tests.sim 42                 replay seed 42: options, every step, verdict
    python -m tests.sim --seeds 0:2000     judge many, with a summary of the reasons
"""
