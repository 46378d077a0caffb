#!/usr/bin/env python3
"""prr from a clone of its repository: `node.py binder`, `node.py server`, `node.py client`, ..."""

import sys

from prr.cli.main import main

if __name__ == "__main__":
    sys.exit(main(program="node.py"))
