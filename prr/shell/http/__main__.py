"""`python -m prr.shell.http`: the process that serves a binder's HTTP, which the binder starts."""

import sys

from prr.shell.http.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
