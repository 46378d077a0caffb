"""HTTP in a binder's own process: loaded only by one that is started with --http."""
