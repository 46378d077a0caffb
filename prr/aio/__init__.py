"""For asyncio: `AsyncClient` and `announce`. A third shell over the same cores, without gevent.

from prr.aio import AsyncClient, announce

client = AsyncClient(["10.0.0.1:2222", "10.0.0.2:2222"])
ip, port = await client.lookup("billing")

async with announce("web", port=8080, check=is_healthy):
    await server.serve_forever()
"""

from prr.aio.announcement import announce
from prr.aio.client import AsyncClient

__all__ = ["AsyncClient", "announce"]
