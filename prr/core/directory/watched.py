"""A directory whose changes are told: see `changes`. Only a binder that somebody may watch has one,
so that the others pay nothing for it."""

from collections.abc import Sequence

from prr.config import LIMITS, Limits
from prr.core.directory.changes import ChangeFeed
from prr.core.directory.digests import Entry
from prr.core.directory.directory import Directory
from prr.core.directory.heard import Heard
from prr.core.directory.listed import listed
from prr.core.directory.results import Added
from prr.wire.instance import Instance
from prr.wire.version import Version


class WatchedDirectory(Directory):
    """Notes each change before it is made. Every method that changes what an instance is to others
    is here; the tests compare what the feed says with what is held."""

    feed: ChangeFeed
    heard: Heard

    def __init__(self, limits: Limits = LIMITS) -> None:
        super().__init__(limits)
        self.feed = ChangeFeed(lambda one: (listed(self, one), self.particulars(one)))
        self.heard = Heard(self.__contains__)

    def suspect(self, instance: Instance) -> None:
        self.feed.note(instance)
        super().suspect(instance)

    def trust(self, instance: Instance) -> None:
        self.feed.note(instance)
        super().trust(instance)

    def dispute(self, instance: Instance, removal: Version) -> None:
        self.feed.note(instance)
        super().dispute(instance, removal)

    def concede(self, instance: Instance, now: float) -> None:
        self.feed.note(instance)
        self.heard.forget(instance)
        super().concede(instance, now)

    def add(
        self,
        instance: Instance,
        version: Version,
        learned: bool = False,
        particulars: bytes = b"",
    ) -> Added:
        self.feed.note(instance)
        return super().add(instance, version, learned, particulars)

    def describe(self, instance: Instance, particulars: bytes) -> None:
        self.feed.note(instance)
        super().describe(instance, particulars)

    def add_all(self, instances: Sequence[Instance], words: Sequence[bytes]) -> None:
        for instance in instances:
            self.feed.note(instance)
        super().add_all(instances, words)

    def remove(self, instance: Instance, version: Version, now: float) -> bool:
        self.feed.note(instance)
        self.heard.forget(instance)
        return super().remove(instance, version, now)

    def sizes(self) -> dict[str, tuple[int, int]]:
        return super().sizes() | {"heard": (len(self.heard), len(self))}

    def restore(self, entries: list[Entry]) -> tuple[list[Instance], list[Entry]]:
        """Too many to be told one by one."""
        self.feed.forget()
        return super().restore(entries)
