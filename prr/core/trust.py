"""Whose words a binder believes, where it has a keyring.

Who may send which frame is a column of the frame table (see `claims`). Here is what a sender has to
prove beyond that. A word is sealed by the holder of a credential, or by a binder in a session with
this one, or it is not, which is the same as sealed in vain.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeGuard

from prr.config import Require
from prr.record import record
from prr.trust.credential import Credential, Holder, Network, decode_credential
from prr.wire.frames import Complaint, Frame, Lookup, Removed, Role
from prr.wire.instance import Address, Instance, address_of, service_of
from prr.wire.messages import AgentAnnouncement
from prr.wire.seal import Seal


@record
class Trust:
    """The rules of one binder. `legacy` are the networks whose programs need not prove anything,
    since they cannot: legacy (2016) ones. `require_lookup`: lookups have to be proved, too."""

    is_keyed: bool = False
    require: Require = Require.OFF
    require_lookup: bool = False
    legacy: tuple[Network, ...] = ()

    def is_legacy(self, ip: str) -> bool:
        """Whoever speaks from there is believed without proof."""
        address = _address(ip)
        return any(address in network for network in self.legacy)

    def demands_proof(self, instance: Instance) -> bool:
        """An answer of this instance, that it is there, needs a seal."""
        return self.require is Require.ON and not self.is_legacy(address_of(instance)[0])

    @property
    def takes_lookups(self) -> bool:
        """Lookups need no look at who sends them."""
        return not (self.is_keyed and self.require_lookup and self.require is not Require.OFF)

    @property
    def takes_words(self) -> bool:
        """Nor do other words."""
        return not self.is_keyed or self.require is Require.OFF

    def is_proved(self, frame: Frame, role: Role, is_of_session: bool) -> bool:
        """What its sender has proved is enough for what it says in this role. `is_of_session`: a
        peer has sealed it, in its session."""
        if role is Role.BINDER:
            return is_of_session
        holder = credential_of(frame.seal)
        if isinstance(frame, Lookup):
            return self.takes_lookups or holder is not None
        if role is Role.SERVER:
            is_server = holder is not None and holder.holder is Holder.SERVER
            return is_server and names_instance(frame)
        if isinstance(frame, Complaint):
            return is_of_session or (holder is not None and holder.holder is not Holder.SERVER)
        return True  # what programs on its own host may ask; the rest is for `is_operator`


@lru_cache(maxsize=1024)
def _address(ip: str) -> IPv4Address | IPv6Address:
    """Read from text it takes longer than the rest of what most frames have to pass."""
    return ip_address(ip)


NO_KEYS = Trust()
"""Those of a binder without a keyring."""


def is_valid(seal: Seal | None) -> TypeGuard[Seal]:
    """Somebody has sealed it who could."""
    return seal is not None and seal.fault is None


def credential_of(seal: Seal | None) -> Credential | None:
    """Who has sealed a frame; None if nobody has, or in vain, or a binder."""
    if not is_valid(seal) or not seal.credential:
        return None
    return decode_credential(seal.credential)


def names_instance(frame: Frame) -> bool:
    """A server's word in which its instance stands, so that a seal covers it too: of which service
    the others are, and where, a credential of any service would prove."""
    return isinstance(frame, Removed) or isinstance(frame.trailer, AgentAnnouncement)


def is_operator(seal: Seal | None) -> bool:
    """An operator has sealed it."""
    holder = credential_of(seal)
    return holder is not None and holder.holder is Holder.OPERATOR


def speaks_for(seal: Seal | None, instance: Instance, source: Address) -> bool:
    """Whoever has sealed it may say of this instance that it is there, from `source`: it is of its
    service, and on the same host, or where its credential lets it be."""
    holder = credential_of(seal)
    if holder is None or not provides(holder, instance):
        return False
    ip = address_of(instance)[0]
    return source[0] == ip or holder.may_be_at(ip)


def provides(holder: Credential, instance: Instance) -> bool:
    """It is a server's credential, of the service that this instance is of."""
    return holder.holder is Holder.SERVER and holder.service == service_of(instance)


def whose(seal: Seal | None) -> str:
    """Who has sealed it, for a person; and if that proves nothing, why."""
    if seal is None:
        return "it has no seal"
    if seal.fault is not None:
        return str(seal.fault)
    holder = credential_of(seal)
    return "a binder" if holder is None else str(holder)
