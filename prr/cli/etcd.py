"""A binder's flag `--store`: the etcd that it shares with others. Loaded only if it is told of one,
like what it stands for."""

import logging
import random
import ssl
from pathlib import Path

import gevent
import gevent.socket
import gevent.ssl

from prr.addresses import families_of, family_of, is_ip, resolve, seen_from
from prr.cli.reload import SettingsFollower
from prr.config import BadInput, BinderConfig, HostPort
from prr.core.binder import Binder
from prr.core.effects import Update
from prr.shell.binder_node import BinderNode
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.messages import Keys
from prr.shell.etcd.registration import Registered, Registration
from prr.shell.etcd.store import EtcdStore
from prr.shell.storage.store import Store
from prr.wire.instance import Address, Instance, describe_address, is_loopback

_log = logging.getLogger("prr")


class SharedEtcd:
    """What one binder has of etcd."""

    def __init__(self, config: BinderConfig, local: Store) -> None:
        """`local`: what it keeps on its own disk. Raises BadInput if a setting is of no use."""
        self._config = config
        self._is_told = False
        self._endpoints = Endpoints(
            config.store,
            random.randrange(len(config.store)),
            _tls(config),
            config.store_user,
            config.store_password,
        )
        self.store = EtcdStore(local, self._endpoints, Keys(config.store_prefix))

    def start(
        self, own: Address, core: Binder, node: BinderNode, follower: SettingsFollower
    ) -> None:
        """Have `core`, which listens on `own`, hear what others commit, and be registered, from
        when the node runs on. Raises BadInput if the others could not reach it."""
        self._check_reach(own)

        def hear(updates: list[tuple[Instance, Update]]) -> None:
            node.step(core.shared_store.heard, updates)

        def all_is_read() -> None:
            core.shared_store.has_read()
            node.step(core.tick)

        def follow(seen: Registered) -> None:
            identities = seen.looked_after.union(seen.binders)
            core.shared_store.register(identities, seen.is_current)
            follower.found({one for one in seen.binders.values() if _is_near(own, one)})

        registration = Registration(
            self._endpoints,
            self._config.store_prefix,
            core.identity,
            lambda: self._where(own),
            core.directory.owners,
            follow,
        )
        self.store.share(hear, all_is_read, registration)

    def _where(self, own: Address) -> Address:
        """Where others reach a binder that listens on `own`: on the way to an etcd of another host,
        if there is one."""
        store = self._config.store
        named = next((one for one in store if not _is_here(one)), store[0])
        where = seen_from(own, resolve(named, gevent.socket, families_of(own)))
        if is_loopback(where[0]) and not is_loopback(own[0]) and not self._is_told:
            self._is_told = True
            _log.warning(
                "etcd names this binder to others as %s, where none on other hosts reaches it; use "
                "--listen with an address of this host",
                describe_address(where),
            )
        return where

    def _check_reach(self, own: Address) -> None:
        for endpoint in self._config.store:
            if is_loopback(own[0]) and is_ip(endpoint[0]) and not _is_here(endpoint):
                raise BadInput(
                    f"{own[0]} is a loopback address, and etcd at {describe_address(endpoint)} "
                    f"would name this binder to other hosts; use --listen with an address of this "
                    f"host that they reach"
                )


def _is_here(endpoint: HostPort) -> bool:
    """It is on this host, by its address."""
    return is_ip(endpoint[0]) and is_loopback(endpoint[0])


def _is_near(own: Address, other: Address) -> bool:
    """One that listens on `own` can exchange datagrams with `other`, and both mean the same by the
    addresses of their servers."""
    is_same_kind = is_loopback(own[0]) == is_loopback(other[0])
    return other != own and is_same_kind and family_of(other) in families_of(own)


def _tls(config: BinderConfig) -> gevent.ssl.SSLContext | None:
    """What TLS needs, if it is asked for. Raises BadInput if the settings do not go together, or
    one of the files cannot be used."""
    if bool(config.store_user) is not bool(config.store_password):
        raise BadInput("a user needs a password; use --store-user with --store-password FILE")
    if (config.store_cert is None) is not (config.store_key is None):
        raise BadInput("a certificate needs its key; use --store-cert FILE with --store-key FILE")
    if config.store_cert is not None and config.store_ca is None:
        raise BadInput("a certificate is shown in TLS only; add --store-ca FILE")
    for flag in ("store_ca", "store_cert", "store_key", "store_password"):
        _check_readable(f"--{flag.replace('_', '-')}", getattr(config, flag))
    if config.store_ca is None:
        return None
    try:
        # The context of gevent: one of the standard library would block all greenlets.
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2"])
        context.load_verify_locations(config.store_ca)
        if config.store_cert is not None and config.store_key is not None:
            context.load_cert_chain(config.store_cert, config.store_key)
    except gevent.ssl.SSLError as error:
        raise BadInput(f"--store-ca, --store-cert or --store-key is not valid: {error}") from error
    return context


def _check_readable(flag: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.read_bytes()
    except OSError as error:
        raise BadInput(f"{flag} {path} cannot be read: {error.strerror}") from error
