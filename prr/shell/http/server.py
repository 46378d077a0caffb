"""The HTTP server of a binder: its parts, put together."""

import socket

from prr.shell.http.application import Application
from prr.shell.http.asked import Reader
from prr.shell.http.binder import Binder
from prr.shell.http.changing import Changing
from prr.shell.http.exposition import Exposition
from prr.shell.http.listener import CONNECTIONS_MAX, Listener, room_for_connections
from prr.shell.http.routes import ROUTES
from prr.shell.http.rows import Rows
from prr.shell.http.served import Served
from prr.shell.http.views import Views
from prr.shell.http.watchers import Watchers


class HttpServer:
    """Serves one binder's HTTP."""

    def __init__(self, listening: socket.socket, binder: Binder) -> None:
        """On `listening`, one of gevent's."""
        settings, served = binder.settings, Served()
        room = room_for_connections()
        most = min(CONNECTIONS_MAX, max(room // 2, 8))
        rows = Rows(settings.names)
        reader = Reader({name: number for number, name in settings.names.items()})
        watchers = Watchers(settings.last, rows.change, room - most, served.drop)
        binder.on_news(watchers.hear)
        views = Views(binder, reader, rows, watchers, Exposition(binder, served))
        changing = Changing(binder, reader, rows)
        by_name = {
            one.view: getattr(views if one.method == "GET" else changing, one.view)
            for one in ROUTES
        }
        hosts = frozenset(settings.hosts)
        application = Application(by_name, binder, hosts, served, settings.is_open)
        self._listener = Listener(listening, application, most, served.drop)
        served.connections = lambda: len(self._listener)
        served.watchers = lambda: len(watchers)

    def start(self) -> None:
        """Serve from now on."""
        self._listener.start()
