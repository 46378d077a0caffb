"""What plain Python does: lookups answered one at a time by a blocking loop, and nothing else.

python benchmarks/bare.py FILE: as responder.c, with which `limit.py` compares it.
"""

import socket
import struct
import sys
from itertools import cycle
from pathlib import Path

INSTANCE_BYTES = 7
SILENCE = struct.pack("ll", 60, 0)  # a minute, as struct timeval
RECEIVE_BUFFER = 8 << 20


def main(path: str) -> None:
    """Answer until nobody has asked for a minute."""
    data = Path(path).read_bytes()
    rows = [data[start : start + INSTANCE_BYTES] for start in range(0, len(data), INSTANCE_BYTES)]
    by_type: dict[int, list[bytes]] = {}
    for row in rows:
        by_type.setdefault(row[0], []).append(b"\x03" + row[1:])
    rotation = {b"\x02" + bytes((type_,)): cycle(found) for type_, found in by_type.items()}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
        serving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        serving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, SILENCE)
        serving.bind(("127.0.0.1", 0))
        print(serving.getsockname()[1], flush=True)
        try:
            while True:
                question, source = serving.recvfrom(2048)
                if question in rotation:
                    serving.sendto(next(rotation[question]), source)
        except BlockingIOError:  # silence
            return


if __name__ == "__main__":
    main(sys.argv[1])
