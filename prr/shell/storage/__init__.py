"""The state on disk: what is restored at a start, and how it is written."""
