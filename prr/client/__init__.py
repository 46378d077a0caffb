"""The library: what programs import, and how the commands ask binders."""
