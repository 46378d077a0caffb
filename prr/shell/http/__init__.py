"""The process that serves a binder's HTTP: it knows the binder by `prr.shell.admin.calls` alone."""
