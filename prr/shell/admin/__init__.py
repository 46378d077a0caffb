"""A binder's side of its HTTP: what the process that serves it may ask, and that process's life."""
