"""The HTTP server of a binder: its parts, put together."""

from collections.abc import Mapping

from prr.shell.binder_node import BinderNode
from prr.shell.http.application import Application
from prr.shell.http.asked import Reader
from prr.shell.http.authorizer import Authorizer
from prr.shell.http.changing import Changing
from prr.shell.http.exposition import Exposition
from prr.shell.http.listener import CONNECTIONS_MAX, Listener, room_for_connections
from prr.shell.http.routes import ROUTES
from prr.shell.http.rows import Rows
from prr.shell.http.served import Served
from prr.shell.http.turns import Turns
from prr.shell.http.views import Views
from prr.shell.http.watchers import Watchers
from prr.shell.loop_lag import LoopLag
from prr.shell.udp.names import address_from
from prr.wire.instance import Address


class HttpServer:
    """Serves one binder's HTTP, in its own process."""

    def __init__(
        self,
        address: Address,
        node: BinderNode,
        lag: LoopLag,
        authorizer: Authorizer,
        names: Mapping[int, str],
        hosts: frozenset[str],
        version: str,
        is_open: bool,
    ) -> None:
        """Listens at `address`. `names` are what numbers are called, `hosts` what this host is
        called, `version` is that of the program. `is_open`: anybody may read. Raises BadInput if it
        cannot listen."""
        room = room_for_connections()
        most = min(CONNECTIONS_MAX, max(room // 2, 8))
        rows = Rows(node.core, names)
        reader = Reader({name: number for number, name in names.items()})
        feed = node.core.directory.feed
        assert feed is not None  # who has a server is watched
        served, turns = Served(), Turns()
        self._watchers = Watchers(feed, rows.change, room - most, served.drop, turns)
        exposition = Exposition(node, lag, served, turns, version)
        views = Views(node, reader, rows, self._watchers, exposition, turns, version)
        changing = Changing(node, reader, rows)
        by_name = {
            one.view: getattr(views if one.method == "GET" else changing, one.view)
            for one in ROUTES
        }
        application = Application(by_name, authorizer, hosts, served, turns, is_open)
        self._listener = Listener(address, application, most, served.drop, turns)
        served.connections = lambda: len(self._listener)
        served.watchers = lambda: len(self._watchers)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return address_from(self._listener.socket.getsockname())

    def start(self) -> None:
        """Serve from now on."""
        self._listener.start()

    def close(self) -> None:
        """Serve no more."""
        self._listener.close()
        self._watchers.close()
