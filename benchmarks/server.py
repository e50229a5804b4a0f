"""The server: one process, the same for every peer, and quicker than every peer.

The server runs on uvloop if installed, else on asyncio, and uses no WebSocket library. The path of
the URL selects its work:

``/echo``
    The server sends every message back.
``/flood?kind=text&size=64``
    The server sends without end, as fast as the client reads. It sends blocks of frames that were
    built beforehand, deflated if the client has offered that.
    ``&far=1`` leaves the size of the send buffer to the system, for a link that holds megabytes.
``/sink?size=64&every=1000``
    The server sends ``done`` after every 1000 messages of 64 bytes. It only counts bytes, unless
    the messages are deflated.
``/beat?size=64``
    The server sends a message of 64 bytes on each connection of this path, and again each time that
    a message comes on any of them.

``python -m benchmarks.server HOST [CERTIFICATE]`` listens on two ports, the second one with TLS,
prints the ports as JSON, and runs until its stdin ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import sys
from functools import lru_cache
from typing import Any, ClassVar, cast
from urllib.parse import parse_qsl, urlsplit

from . import wire
from .machine import pin, raise_file_limit
from .payloads import data_of, json_texts, text_of

#: The smallest block of frames of a flood, in bytes.
BLOCK_SIZE = 128 * 1024
#: The number of blocks that are written before the other connections get their turn.
BURST = 4
#: The seconds from the answer to the request to the first frame of a flood: some peers lose bytes
#: that arrive together with the answer.
HEAD_START = 0.05
#: The bytes of a flood that may be on their way; Linux doubles this number. With the default of
#: Linux, the bytes have left the caches by the time the client reads them, and the measurement is
#: that of the server.
SEND_BUFFER = 128 * 1024
#: The largest number of bytes of one read of a sink.
READ_SIZE = 256 * 1024

_HEAD_END = b"\r\n\r\n"


class Upgrade(asyncio.Protocol):
    """Answers the opening handshake, and hands over to the protocol of the path."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            return
        head, rest = self._head[:end], self._head[end + len(_HEAD_END) :]
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        target = urlsplit(lines[0].split(" ")[1])
        options = dict(parse_qsl(target.query))
        offers = fields.get("sec-websocket-extensions", "")
        extension = choose_extension(offers)
        response = [
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: "
            ),
            wire.accept_for(fields["sec-websocket-key"].encode()),
        ]
        if extension is not None:
            options["wbits"] = str(extension[1])
            if "server_no_context_takeover" in extension[0]:
                options["forgets"] = "1"
            response += [b"\r\nSec-WebSocket-Extensions: ", extension[0].encode()]
        protocol = PROTOCOLS[target.path](self._transport, options)
        self._transport.set_protocol(protocol)
        self._transport.write(b"".join([*response, _HEAD_END]))
        protocol.begin(rest)


def choose_extension(offers: str) -> tuple[str, int] | None:
    """Answer an offer of permessage-deflate with the client's limits for the server's compressing.

    :returns: the value of the field, and the bits of the window; None: no offer.
    """
    if "permessage-deflate" not in offers:
        return None
    limit = re.search(r"server_max_window_bits\s*=\s*\"?(\d+)", offers.split(",")[0])
    answer, wbits = "permessage-deflate", 15
    if limit is not None:
        answer, wbits = f"{answer}; server_max_window_bits={limit[1]}", max(9, int(limit[1]))
    if "server_no_context_takeover" in offers.split(",")[0]:
        answer += "; server_no_context_takeover"
    return answer, wbits


class Echo(asyncio.Protocol):
    """Echoes each frame, also of fragmented messages.

    A deflated frame goes back as it came. That is right as long as the client compresses within
    the limits that it has offered to both sides.
    """

    def __init__(self, transport: asyncio.Transport, options: dict[str, str]) -> None:
        self._transport = transport
        self._rest = b""

    def begin(self, data: bytes) -> None:
        if data:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = len(data)
        # The common case first: one short message.
        if end > 5 and data[1] == 0x80 | end - 6 and data[0] < 0x88:
            self._transport.write(data[0:1] + bytes((end - 6,)) + wire.unmask(data[6:], data[2:6]))
            return
        pos = 0
        answers = []
        while True:
            head = wire.parse_head(data, pos)
            if head is None or head[2] > end:
                break
            opcode, start, stop = head
            payload = wire.unmask(data[start:stop], data[start - 4 : start])
            if opcode != wire.PONG:
                answer = wire.PONG if opcode == wire.PING else opcode
                answers.append(wire.server_frame(answer, payload, bool(data[pos] & 0x40)))
            pos = stop
            if opcode == wire.CLOSE:
                self._transport.write(b"".join(answers))
                self._transport.close()
                return
        self._rest = data[pos:]
        if answers:
            self._transport.write(b"".join(answers))


class Flood(asyncio.Protocol):
    """Sends without end, and ignores all received bytes, a close frame included."""

    def __init__(self, transport: asyncio.Transport, options: dict[str, str]) -> None:
        self._transport = transport
        self._block = build_block(
            options["kind"], int(options["size"]), options.get("wbits"), "forgets" in options
        )
        self._is_far = "far" in options
        self._is_paused = False
        self._is_ended = False

    def begin(self, data: bytes) -> None:
        self._transport.set_write_buffer_limits(high=BLOCK_SIZE * 2)
        if not self._is_far:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # Some peers lose bytes that arrive together with the answer to their request.
        asyncio.get_running_loop().call_later(HEAD_START, self._write)

    def _write(self) -> None:
        for _ in range(BURST):
            if self._is_paused or self._is_ended:
                return
            self._transport.write(self._block)
        asyncio.get_running_loop().call_soon(self._write)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_ended = True


@lru_cache(maxsize=32)
def build_block(kind: str, size: int, wbits: str | None, forgets: bool = False) -> bytes:
    """Build the block of frames that a flood sends over and over again."""
    opcode = wire.TEXT if kind in ("text", "json") else wire.BINARY
    if kind == "json":
        payloads = [text.encode() for text in json_texts()]
    else:
        payloads = [text_of(size).encode() if kind == "text" else data_of(size)]
    if wbits is not None:
        # A whole block is deflated with one context, so that each message refers to earlier ones,
        # if the client allows that.
        count = BLOCK_SIZE // sum(map(len, payloads)) * 4 + 1
        payloads = wire.deflate(payloads * count, int(wbits), forgets)
    frames = b"".join(wire.server_frame(opcode, item, wbits is not None) for item in payloads)
    return frames * (BLOCK_SIZE // len(frames) + 1)


class Sink(asyncio.BufferedProtocol):
    """Counts messages, and acknowledges each batch."""

    # All sinks share one buffer: a sink counts the bytes of a read before another sink reads.
    _buffer = memoryview(bytearray(READ_SIZE))
    _done = wire.server_frame(wire.TEXT, b"done")

    def __init__(self, transport: asyncio.Transport, options: dict[str, str]) -> None:
        self._transport = transport
        self._frame_size = wire.client_frame_size(int(options["size"]))
        self._every = int(options["every"])
        self._counts_frames = "wbits" in options
        self._left = self._every if self._counts_frames else self._every * self._frame_size
        self._rest = b""
        self._skip = 0

    def begin(self, data: bytes) -> None:
        if data:
            self._take(data)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._counts_frames:
            self._take(bytes(self._buffer[:nbytes]))
        else:
            self._count(nbytes)

    def _take(self, data: bytes) -> None:
        if self._counts_frames:
            self._count(self._count_frames(data))
        else:
            self._count(len(data))

    def _count(self, count: int) -> None:
        self._left -= count
        while self._left <= 0:
            self._left += self._every if self._counts_frames else self._every * self._frame_size
            self._transport.write(self._done)

    def _count_frames(self, data: bytes) -> int:
        """Count the frames that end in ``data``."""
        data = self._rest + data
        self._rest = b""
        count = 0
        pos = self._skip
        end = len(data)
        while pos < end:
            head = wire.parse_head(data, pos)
            if head is None:
                self._rest = data[pos:]
                pos = end
                break
            pos = head[2]
            count += head[0] < wire.CLOSE
        self._skip = pos - end
        return count


class Beat(asyncio.Protocol):
    """Sends one message on each connection, each time that anything comes on one of them."""

    # In the order of opening; of one client at a time.
    _all: ClassVar[dict[asyncio.Transport, bytes]] = {}

    def __init__(self, transport: asyncio.Transport, options: dict[str, str]) -> None:
        self._transport = transport
        payload = text_of(int(options["size"])).encode()
        self._all[transport] = wire.server_frame(wire.TEXT, payload)

    def begin(self, data: bytes) -> None:
        if data:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        for transport, frame in self._all.items():
            transport.write(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        del self._all[self._transport]


PROTOCOLS: dict[str, Any] = {"/echo": Echo, "/flood": Flood, "/sink": Sink, "/beat": Beat}


async def serve(host: str, certificate: str | None) -> None:
    """Listen, print the ports, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Upgrade, host, 0, backlog=4096)
    ports = {"ws": plain.sockets[0].getsockname()[1]}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        secure = await loop.create_server(Upgrade, host, 0, ssl=context, backlog=4096)
        ports["wss"] = secure.sockets[0].getsockname()[1]
    print(json.dumps({"ports": ports, "loop": type(loop).__module__}), flush=True)
    # A thread reads stdin, because a loop may wait for a pipe but not for a file.
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Run the process."""
    pin("server")
    raise_file_limit()
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    run(serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))


if __name__ == "__main__":
    main()
