"""How long a client asks its binders."""

BINDER_LIMIT = 4.5
"""Seconds in which a binder must answer, all resends included. A legacy binder serves nobody for
2 s while it verifies: this outlasts the client's own last complaint and one that stood before it
in the queue, and half a second for the rest."""

REFUSED_LIMIT = 2.0
"""The same where every binder has refused the question: who verifies listens. Leaves a binder that
is just being started again the time to come back."""
