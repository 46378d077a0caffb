"""Who takes part in the demo."""

BINDERS = 3
SERVERS = {"A": 1, "B": 2, "C": 1, "D": 2, "E": 1, "F": 2}
"""The servers' names and types."""

VICTIM = "B"
"""The server that is killed unless somebody chooses another one."""

CHOOSE = "?"
"""Stands for the server that whoever watches will choose."""

INTRODUCTION = """\
A dead server is out of every binder's answers a fraction of a second after the first call that
fails, and a dead binder is hardly missed. See for yourself: here are three binders, six servers of
two types, and clients, each node a process of its own on 127.0.0.1. One server and one binder will
be killed.
"""
"""What it is about."""
