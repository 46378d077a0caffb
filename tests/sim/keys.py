"""Who holds which key in the simulator, and what its binders ask to be proved."""

from __future__ import annotations

from ipaddress import ip_network
from random import Random

from prr.config import Require
from prr.core.trust import NO_KEYS, Trust
from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.keyring import Held, Keyring
from prr.wire.frames import Role
from prr.wire.instance import Service
from tests.sim.faults import Options

SECRET, PRUNED, STRANGE = (Random(name).randbytes(32) for name in ("secret", "pruned", "strange"))
RING = Keyring((SECRET,))

KEYED = 0.7
"""Share of the servers and the clients that have a key where none is needed."""


class Keys:
    """Those of one cluster. Without any nothing is sealed."""

    def __init__(self, options: Options) -> None:
        self._require = options.require
        self._seed = options.seed
        self.ring = RING if options.require else None
        legacy = range(options.servers if options.has_lab_servers else 0)
        self.trust = NO_KEYS
        if options.require:
            # Servers of 2016 cannot prove anything: their hosts are taken at their word.
            hosts = tuple(ip_network(f"10.0.1.{index + 1}") for index in legacy)
            self.trust = Trust(is_keyed=True, require=options.require, legacy=hosts)

    def of_server(self, index: int, service: Service) -> Held | None:
        """What a server is given that is not one of 2016."""
        if not self._is_keyed(f"server/{index}"):
            return None
        return issue(Holder.SERVER, f"server-{index}", service)

    def of_client(self, number: int) -> Held | None:
        """What a client is given."""
        return issue(Holder.CLIENT, "app") if self._is_keyed(f"client/{number}") else None

    @property
    def of_operator(self) -> Held | None:
        """What an operator has where it takes a key to drain something."""
        return issue(Holder.OPERATOR, "operator") if self._require is Require.ON else None

    @property
    def of_anybody(self) -> Held | None:
        """What one has who complains, for no reason, but is believed."""
        return issue(Holder.CLIENT, "app") if self._require else None

    def _is_keyed(self, who: str) -> bool:
        if self._require is None or self._require is Require.ON:
            return self._require is not None
        return Random(f"{self._seed}/keys/{who}").random() < KEYED


def issue(holder: Holder, name: str, service: Service | None = None, ring: Keyring = RING) -> Held:
    """A credential with its key."""
    return ring.issue(encode_credential(Credential(holder, name, service)))


def role_of(holder: Holder) -> Role:
    """In which role the holder of such a credential speaks."""
    return Role.SERVER if holder is Holder.SERVER else Role.CLIENT
