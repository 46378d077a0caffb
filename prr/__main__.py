"""`python -m prr`: the same as the command `prr`."""

import sys

from prr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
