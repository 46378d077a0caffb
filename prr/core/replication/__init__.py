"""How binders agree: versioned updates, and anti-entropy for what got lost.

Every decision is an update with a version, told to each peer once, in one datagram. Most arrive.
What does not, since a datagram was lost, a binder was down or the network parted, is found by
comparing digests: each binder compares with one peer a second, and both then know the newest
version of everything either knew. Push for speed, anti-entropy for certainty: the two halves of
epidemic replication (Demers et al., "Epidemic algorithms for replicated database maintenance",
1987). Nobody leads, and no binder waits for another one.
"""
