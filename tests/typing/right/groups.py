"""A group of clients, annotated in full."""

from __future__ import annotations

from typing_extensions import assert_type

import greenws


class Feed(greenws.Client):
    symbol = ""


def note(client: greenws.Client) -> None:
    print(client.url)


def run(urls: list[str]) -> None:
    with greenws.ClientGroup(max_connecting=100, rate=0.5, on_end=note) as group:
        assert_type(group, greenws.ClientGroup)
        assert_type(group.start(Feed(url) for url in urls), greenws.ClientGroup)
        assert_type(group.add(Feed(urls[0])), Feed)
        assert_type(group.wait_ready(timeout=60), bool)
        assert_type(group.stats(), dict[str, int])
        assert_type(group.drain(timeout=10, code=greenws.Status.NORMAL, reason="done"), int)
        assert_type(group.is_draining, bool)
        group.join(0.5)
    greenws.ClientGroup(on_end=lambda client: client.kill())
