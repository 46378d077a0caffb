"""What a tick of the verifications finds due."""

from dataclasses import dataclass, field

from prr.core.effects import Probe
from prr.core.liveness.states import Verdict
from prr.wire.instance import Instance


@dataclass(slots=True)
class Due:
    """What has come due: questions to send, rows that want opinions, rows that are over."""

    probes: list[Probe] = field(default_factory=list)
    wants_opinions: list[tuple[Instance, int]] = field(default_factory=list)  # and the nonce
    reminders: list[Instance] = field(default_factory=list)
    unanswered: list[Instance] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    was_late: bool = False
