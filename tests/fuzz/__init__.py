"""Fuzzing of everything that reads what others wrote: datagrams, files, and what people type.

`targets` says what is read and what has to hold. `mutator` changes good input at random, which
every run of the tests does a few thousand times; atheris, where it can be installed, looks for
input that reaches new lines (`python -m tests.fuzz NAME --runs 1000000`). `corpus/` holds input
that did, and input that once broke something: each of it is tried in every run.
"""
