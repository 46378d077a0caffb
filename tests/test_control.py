"""A binder's list, fetched page by page from a binder whose datagrams are late, doubled or lost."""

import socket
from threading import Thread

import pytest

from prr.client.control import fetch_list, fetch_text
from prr.wire.frames import ListRequest, Role, ServiceList
from prr.wire.inquiries import ListPage, TextPart, TextQuery
from prr.wire.trailer import TEXT_BYTES_MAX, Question
from tests.cores import at, decode, encode

ALL = [at(1, "10.0.0.1", port) for port in range(1, 7)]
PAGES = {b"": (ALL[:2], ALL[1]), ALL[1]: (ALL[2:4], ALL[3]), ALL[3]: (ALL[4:], None)}
"""By the cursor that is asked with: the instances, and the cursor of the next page."""


TEXT = bytes(number % 251 for number in range(2 * TEXT_BYTES_MAX + 100))


def page_for(asked):
    """The instances and the trailer of the answer."""
    if isinstance(asked, TextQuery):
        part = TEXT[asked.offset : asked.offset + TEXT_BYTES_MAX]
        return (), TextPart(nonce=asked.nonce, offset=len(TEXT), text=part)
    instances, cursor = PAGES[asked.cursor]
    return instances, ListPage(cursor=cursor, nonce=asked.nonce)


@pytest.fixture
def binder():
    """Starts a binder that answers each question as often as it is told to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        threads = []

        def answer(times):
            for often in times:
                data, source = bound.recvfrom(2048)
                if not data:  # the test is over
                    return
                question = decode(data, Role.BINDER)
                assert isinstance(question, ListRequest)
                instances, trailer = page_for(question.trailer)
                for _ in range(often):
                    bound.sendto(encode(ServiceList(tuple(instances), trailer=trailer)), source)

        def start(*times):
            threads.append(Thread(target=answer, args=(times,)))
            threads[0].start()
            return bound.getsockname()

        yield start
        bound.sendto(b"", bound.getsockname())
        threads[0].join()


TIMES = [(1, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (2, 1, 1), (1, 2, 1)]


@pytest.mark.smoke
@pytest.mark.parametrize("times", TIMES)
def test_the_whole_text_comes_whatever_happens_to_its_parts(times, binder):
    assert fetch_text(binder(*times), Question.STATUS) == TEXT


@pytest.mark.parametrize("times", TIMES)
def test_the_whole_list_comes_whatever_happens_to_its_pages(times, binder):
    assert fetch_list(binder(*times)) == ALL
