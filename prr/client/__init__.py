"""The library: `prr.Client`, and how the commands query binders."""
