from __future__ import annotations

import threading

from greenws.sessions import threads
from tests.support.run import run_script


def test_threads_are_told_apart() -> None:
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.append(threads.get_ident()))
    thread.start()
    thread.join()
    assert threads.get_ident() == threading.get_ident()
    assert threads.get_ident() not in others


def test_greenlets_of_a_patched_process_are_in_one_thread() -> None:
    said = run_script(
        """
        from gevent import monkey
        monkey.patch_all()
        import gevent, greenws
        from greenws.sessions import threads
        print(len({threads.get_ident(), gevent.spawn(threads.get_ident).get()}))
        """
    )
    assert said == "1\n"
