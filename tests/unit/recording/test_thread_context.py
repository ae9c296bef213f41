"""What threads read that a request starts is noted for its answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from cachemw import tag
from cachemw.recording.context import Recording
from cachemw.recording.thread_context import carry_into_threads


def test_plain_threads_note_for_the_answer_that_started_them() -> None:
    # Without `carry_into_threads` nothing is noted here, and the answer would outlive its purge.
    class Reader(threading.Thread):
        def run(self) -> None:
            tag("c")

    carry_into_threads()
    carry_into_threads()  # once is enough, and twice does no harm
    threads = [threading.Thread(target=tag, args=("a",)), threading.Timer(0, tag, ["b"]), Reader()]
    recording = Recording()
    with recording:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(tag, "d").result()
            list(pool.map(tag, ["e"]))
    assert recording.close() == ("a", "b", "c", "d", "e")


def test_a_pool_notes_for_whoever_gives_it_work() -> None:
    carry_into_threads()
    first, second = Recording(), Recording()
    with ThreadPoolExecutor(1) as pool:
        with first:
            pool.submit(tag, "a").result()
        with second:
            pool.submit(tag, "b").result()
    assert (first.close(), second.close()) == (("a",), ("b",))
