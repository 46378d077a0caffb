"""`python -m prr.shell.http`: the process that serves a binder's HTTP, which the binder starts."""

import sys

from prr.shell.http.beginning import begin

if __name__ == "__main__":
    if not begin(int(sys.argv[-1])):
        sys.exit(0)
    from prr.shell.http.process import main  # which loads the rest

    sys.exit(main(sys.argv[1:]))
