"""The library: `prr.Client`, and how the commands query binders."""

import logging

logging.getLogger("prr").addHandler(logging.NullHandler())  # a program says where its log goes
