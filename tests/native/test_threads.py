from __future__ import annotations

import threading

from greenws.native import threads


def test_threads_are_told_apart() -> None:
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.append(threads.get_ident()))
    thread.start()
    thread.join()
    assert threads.get_ident() == threading.get_ident()
    assert threads.get_ident() not in others
