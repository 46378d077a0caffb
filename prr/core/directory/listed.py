"""How an instance is listed: what whoever asks is told of its state."""

from prr.core.directory.directory import Directory
from prr.wire.instance import Instance
from prr.wire.trailer import Listed


def listed(directory: Directory, instance: Instance) -> Listed | None:
    """The state of an instance; None if it is not held."""
    if instance not in directory:
        return None
    if directory.is_disputed(instance):
        return Listed.DISPUTED
    if directory.is_suspect(instance):
        return Listed.SUSPECT
    return Listed.DRAINED if directory.is_drained(instance) else Listed.UP
