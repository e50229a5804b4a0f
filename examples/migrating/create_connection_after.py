"""The same request with greenws: ``python create_connection_after.py URL``."""

from __future__ import annotations

import sys

import greenws


def is_answer(event: greenws.events.Text | greenws.events.Binary) -> bool:
    return event.name == "text" and event.json["id"] == 1


def ask(url: str) -> None:
    headers = {"X-Api-Key": "1234", "Cookie": "session=5678"}
    with greenws.connect(url, open_timeout=5, headers=headers, origin="https://app") as connection:
        answer = connection.request({"id": 1, "op": "quote"}, match=is_answer, timeout=5)
        assert answer.name == "text"
        print("answer:", answer.json["op"])
        try:
            connection.receive(timeout=0.01)
        except TimeoutError:
            print("nothing more")


if __name__ == "__main__":
    try:
        ask(sys.argv[1])
    except greenws.errors.Rejected as error:
        print("refused:", error.response.status_code if error.response else error)
    except greenws.errors.ConnectFail as error:
        print("no connection:", error)
