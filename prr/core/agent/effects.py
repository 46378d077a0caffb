"""What an agent asks its shell to do, besides what a server does."""

from typing import TypeAlias

from prr.core.effects import ServerEffect
from prr.record import record


@record
class Check:
    """See whether the program works, and tell: `checked(passed, words, now)`. None is asked for
    before the last one is told."""


@record
class Launch:
    """Start the program, and tell when it has ended: `exited(status, now)`."""


@record
class End:
    """Have the program end: ask it to (SIGTERM), or, `at_once`, make it (SIGKILL)."""

    at_once: bool


AgentEffect: TypeAlias = ServerEffect | Check | Launch | End
