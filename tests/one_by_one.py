"""node.py as it runs where the system has no recvmmsg: `python -m tests.one_by_one binder ...`."""

import sys

from prr.shell.udp import mmsg

mmsg.has_mmsg = lambda: False

from prr.cli.main import main  # noqa: E402  after the patch, so that all import it patched

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
