"""Exit codes, as docs/operations.md promises them."""

YES = 0
NO = 1  # no such service
USAGE = 2
NO_BINDER = 3  # no binder answered
NO_SERVICE = 4  # the service did not answer, and the binder was told
NO_OUTPUT = 5  # stdout was closed or full: what was found could not be said
DEGRADED = 6  # the binder answers, and something is wrong with it (`status`)
