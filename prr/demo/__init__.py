"""The demo: a small cluster on loopback, its traffic, and what was seen."""
