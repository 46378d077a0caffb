"""What is read of a directory's tables, and decided nowhere: digests, pages, and who owns what."""

from collections.abc import Sequence

from prr.core.directory.tables import Place, Tables
from prr.core.effects import Update
from prr.wire.instance import Instance
from prr.wire.version import VERSION_BYTES, Version, encode_version


def state_of(word: bytes) -> bytes:
    """What a ticket depends on to say something of an instance that is held with this word."""
    return b"+" + word[:VERSION_BYTES]


class TableWalks:
    """Ways through what one binder holds and remembers."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def word(self, instance: Instance) -> bytes:
        """The version of an instance that is held, encoded, and behind it its particulars; b"" if
        it is not held."""
        return self._tables.of(instance).word(instance)

    def words(self, instances: Sequence[Instance]) -> list[bytes]:
        """The same for some."""
        return self._tables.words(instances)

    def standing(self, instance: Instance) -> tuple[bytes, bytes]:
        """The version of an instance that is held, encoded, and behind it its particulars; b"" if
        it is not held. And what a ticket to say something of it depends on: whether it is there, or
        gone, and since when that is so; b"" if nothing is known of it."""
        table = self._tables.of(instance)
        if word := table.word(instance):
            return word, state_of(word)
        removal = table.removal(instance)
        return b"", b"" if removal is None else b"-" + encode_version(removal)

    def is_last(self, instance: Instance, version: Version, is_there: bool) -> bool:
        """That `instance` is there, or gone, at `version` is what was heard last of it, a disputed
        removal left aside."""
        table = self._tables.of(instance)
        return version == (table.version(instance) if is_there else table.removal(instance))

    def note_changes(self) -> None:
        """From now on remember what changes, until it is taken with `take_changes`."""
        self._tables.note_changes()

    def take_changes(self) -> dict[Instance, Update | None]:
        """The last update about each instance that changed since they were taken last; None for
        one that is forgotten. Always empty unless changes are noted."""
        return self._tables.take_changes()

    def update(self, instance: Instance) -> Update | None:
        """The last update about an instance, a disputed removal left aside; None if nothing is
        known of it."""
        return self._tables.of(instance).update(instance)

    def digest(self, wide: bool = True) -> bytes:
        """The digest of all that is held: equal on two binders that hold the same. Without `wide`
        instances it is what those compare who do not know them."""
        return self._tables.digest(wide)

    def digests(self, group: int | None, wide: bool = True) -> bytes:
        """The 64 digests of the groups, or of the buckets of one group (0 to 63), likewise."""
        return self._tables.digests(group, wide)

    def page(
        self, group: int, buckets: int, cursor: bytes, size: int, wide: bool = True
    ) -> tuple[list[tuple[Instance, Update]], bytes | None]:
        """At most `size` updates about the buckets of `group` whose bit is set in `buckets`; see
        `Tables.page`."""
        return self._tables.page(group, buckets, cursor, size, wide)

    def instances(
        self, cursor: bytes, size: int, wide: bool = True
    ) -> tuple[list[Instance], bytes | None]:
        """At most `size` instances that are held, from behind `cursor` (b"": from the start), and
        the next cursor, None at the end. Wide ones come last.

        Who follows the cursors sees every instance that was held all the while, exactly once.
        """
        return self._tables.instances(cursor, size, wide)

    def at_address(self, instance: Instance) -> list[Instance]:
        """The instances held at the same address as `instance`, which may be one of them."""
        return self._tables.at_address(instance)

    def owners(self) -> list[int]:
        """The binders that are lease owner of at least one instance."""
        return self._tables.holdings.owners()

    def has_other_owner(self, owner: int) -> bool:
        """A binder other than `owner` is lease owner of an instance."""
        return self._tables.holdings.has_other_owner(owner)

    def owned_by(
        self, owners: set[bytes], place: Place, size: int, looks: int
    ) -> tuple[list[Instance], Place | None]:
        """At most `size` instances whose lease owner is one of `owners` (encoded), from `place` on,
        and where to go on; see `Table.owned_by`."""
        return self._tables.owned_by(owners, place, size, looks)

    def count_of_host(self, instance: Instance) -> int:
        """How many instances are held that are on the host of `instance`; of IPv6 on its network
        of 64 bits."""
        return self._tables.holdings.of_host(instance)

    def count_of_fullest_host(self, coming: Sequence[Instance]) -> int:
        """How many that of these instances' hosts would have which had most, were all of them held,
        of which none is."""
        return self._tables.holdings.of_fullest_host(coming)

    def count_of_credential(self, credential: bytes) -> int:
        """How many instances are held that have subscribed with a credential."""
        return self._tables.holdings.of_credential(credential)
