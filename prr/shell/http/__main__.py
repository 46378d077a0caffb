"""The process that serves a binder's HTTP, which the binder starts."""

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parents[3])
"""Where the package lies."""

if __name__ == "__main__":
    if FOLDER not in sys.path:  # in a clone; and never in front of Python's own where installed
        sys.path.insert(0, FOLDER)
    from prr.shell.http.beginning import begin

    if not begin(int(sys.argv[-1])):
        sys.exit(0)
    from prr.shell.http.process import main  # which loads the rest

    sys.exit(main(sys.argv[1:]))
