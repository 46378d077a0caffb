"""Instances that were asked a moment ago since somebody complained: a second complaint can wait.

Whoever complains without end has an instance asked without end, and out of turn while it is asked.
No quota of the complainers prevents that, since their addresses can be forged. So what the accused
may be asked has a bound of its own, whoever accuses it, and however often. Nothing is forgotten: it
is asked once more when the moment is over.
"""

from prr.core.liveness.recent import Recent

JUST_ASKED = 0.25
"""Seconds: for complaints a binder asks one that answers four times a second at most, and finds one
that dies right after its answer a quarter of a second later."""

JUST_ASKED_MAX = 4096
"""Instances, half a MB: more than can be asked within the moment, each from a socket of its own."""


class JustAsked(Recent):
    """When each was asked last."""

    def __init__(self) -> None:
        super().__init__(JUST_ASKED, JUST_ASKED_MAX)
