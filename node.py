#!/usr/bin/env python3
"""The one executable of prr: `node.py binder`, `node.py server`, `node.py client`, ..."""

import sys

from prr.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
