"""Who takes part in the demo."""

BINDERS = 3
SERVERS = {"A": 1, "B": 2, "C": 1, "D": 2, "E": 1, "F": 2}
"""The servers' names and types."""

VICTIM = "B"
"""The server that is killed unless somebody chooses another one."""

CHOOSE = "?"
"""Stands for the server that whoever watches will choose."""
