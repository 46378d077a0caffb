"""The table of what is fuzzed.

A target raises if something does not hold that has to. Whatever is read either is refused, with the
one exception that is meant for that, or means something that comes out the same when it is written
and read again.
"""

from tests.fuzz import datagrams, files, stored, typed, values

TARGETS = {
    target.name: target
    for module in (datagrams, values, files, typed, stored)
    for target in module.TARGETS
}
