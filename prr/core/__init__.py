"""What decides. Pure: no clock, no RNG, no socket, no gevent, no log.

`now` (seconds of a monotonic clock) and `rng` come in as arguments; what is to be done leaves as
effects. Times are in seconds.
"""
