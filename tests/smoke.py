"""What an installed greenws has to do on every platform: ``python -m tests.smoke``.

The suite needs Linux here and there. This needs nothing but Python and greenws: it is run on every
wheel, on the platform of the wheel. It ends with the first thing that is wrong.

    python -m tests.smoke [compiled|pure]
"""

from __future__ import annotations

import sys
import threading

import gevent

import greenws
from greenws.cli import main
from greenws.testing import EchoServer

# Seconds until a step counts as stuck.
PATIENCE = 60

SIZES = (0, 1, 125, 126, 65535, 65536, 1_000_000)


def check_messages(url: str, compress: bool) -> None:
    with greenws.connect(url, compress=compress, open_timeout=PATIENCE) as connection:
        for size in SIZES:
            for message in ("x" * size, bytes(size)):
                connection.send(message)
                received = connection.receive(timeout=PATIENCE)
                assert received == message, f"another message of {size} bytes"


class Counter(greenws.Client):
    open_timeout = PATIENCE
    seen = 0

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_text("one")

    def on_text(self, event: greenws.events.Text) -> None:
        self.seen += 1
        self.close()


def check_clients(url: str) -> None:
    clients = [Counter(url) for _ in range(50)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(PATIENCE)
    assert [client.seen for client in clients] == [1] * 50


def check_refusal() -> None:
    with EchoServer() as server:
        url = server.url
    try:
        greenws.connect(url, open_timeout=PATIENCE).close()
    except greenws.errors.WebSocketError as error:
        print(f"refused, as it should be: {error}")
    else:
        raise AssertionError("a connection to a server that has gone")


def check_threads(url: str) -> None:
    """Connections in another thread, which has a hub of its own."""
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            check_messages(url, False)
        except BaseException as error:
            wrong.append(error)
        finally:
            gevent.get_hub().destroy()

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():  # the server is in this thread
        gevent.sleep(0.01)
    if wrong:
        raise wrong[0]


def run(wanted: str) -> int:
    assert main(["--version", "--verbose"]) == 0
    if wanted:
        assert greenws.COMPILED is (wanted == "compiled"), f"the build is not {wanted}"
    with EchoServer() as server:
        for compress in (False, True):
            check_messages(server.url, compress)
        check_clients(server.url)
        check_threads(server.url)
        assert main(["load", server.url, "-c", "100", "-n", "10"]) == 0
    check_refusal()
    assert main(["load", "-c", "10", "-n", "10"]) == 0  # the server is a process of its own
    print("smoke: all went well")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1] if len(sys.argv) > 1 else ""))
