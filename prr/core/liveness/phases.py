"""The questions of a verification: how many there are, and how long each waits for its answer."""

from enum import IntEnum

WAITS = (0.2, 0.3, 0.5)
"""Seconds to wait for the answer to each question: a second in all."""

WAITS_FOR_OPINIONS = (0.25, 0.25, 0.5)
"""Seconds beyond one's own second of questions in which opinions are waited for: the other binder
began half a second later. Meanwhile each wait begins with one more question to the instance, and
one more to those who owe an opinion: with a fifth lost either way, three questions to one that
lives go unanswered once in twenty times."""

LAGGED = "the event loop lagged; waiting again instead of believing the silence"


class Phase(IntEnum):
    """How far a verification is: which question was the last one. Its number is how many count."""

    NOTHING_ASKED = 0  # the first question could not be sent; it is tried again
    FIRST_QUESTION = 1
    SECOND_QUESTION = 2
    THIRD_QUESTION = 3  # other binders are asked for their opinion along with it
    # While opinions are waited for, each with a reminder to those who owe one.
    FOURTH_QUESTION = 4
    FIFTH_QUESTION = 5
    SIXTH_QUESTION = 6

    @property
    def next(self) -> "Phase":
        """The phase after this one, which is not the last."""
        return Phase(self + 1)

    @property
    def without_last(self) -> "Phase":
        """The phase before it: its question does not count."""
        return Phase(max(self - 1, Phase.NOTHING_ASKED))


OWN_END = Phase.THIRD_QUESTION
"""Where one's own questions end: silence counts from here if there is nobody else to ask."""

CONFIRMED_END = Phase.FIFTH_QUESTION
"""Where the questions end if all others have said what they found: so many go unanswered, however
soon other binders confirm the silence."""

UNCONFIRMED_END = Phase.SIXTH_QUESTION
"""Where they end though an opinion is still owed."""

WAIT = dict(zip(list(Phase)[1:], WAITS + WAITS_FOR_OPINIONS, strict=True))
"""Seconds to wait for the answer to the question of each phase."""
