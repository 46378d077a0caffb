"""A process that is a host of many services, each on a port of its own.

    python -m benchmarks.host --binder 127.0.0.1:2222 --count 1000

Prints "ready", and each one's type and port, once all of them are confirmed. `--types` are shared
out among them, from type 1 on; each takes `--delay` seconds to answer a request.
"""

import argparse
import resource
from contextlib import ExitStack

import gevent
from gevent.pool import Pool

from prr import Service

AT_ONCE = 50
"""Subscriptions at a time: what a binder's queue has room for."""


def main() -> None:
    """Serve for ever, as the command line says."""
    parser = argparse.ArgumentParser(prog="host", description=__doc__.splitlines()[0])
    parser.add_argument("--binder", action="append", required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--types", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0)
    parsed = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def answer(message: bytes) -> bytes:
        gevent.sleep(parsed.delay)
        return message

    types = [1 + number % parsed.types for number in range(parsed.count)]
    services = [Service(type_, answer, binders=parsed.binder) for type_ in types]
    with ExitStack() as stack:
        Pool(AT_ONCE).map(stack.enter_context, services)
        ports = (service.address[1] for service in services)
        print("ready", *map("{}:{}".format, types, ports), flush=True)
        gevent.get_hub().join()


if __name__ == "__main__":
    main()
