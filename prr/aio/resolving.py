"""Where binders are, found out without stopping the event loop."""

import asyncio
import socket

from prr.addresses import is_ip
from prr.client.errors import NoBinderAnswered
from prr.client.known_binders import KnownBinders
from prr.config import BadInput
from prr.wire.instance import Address


async def found(binders: KnownBinders) -> tuple[tuple[Address, ...], bool]:
    """Their addresses, and whether an instance at an IPv6 address will do. Raises NoBinderAnswered
    if none has an address."""
    if known := binders.known():
        return known
    try:
        if all(is_ip(host) for host, _ in binders.endpoints):
            return binders.find(socket)
        return await asyncio.get_running_loop().run_in_executor(None, binders.find, socket)
    except BadInput as error:
        raise NoBinderAnswered(f"no binder could be asked: {error}") from error
