"""The program in the processes of :mod:`tests.support.servers`.

``python serving.py KIND CERTIFICATE`` serves on two ports of 127.0.0.1, the second one with TLS,
prints both in a line, and ends when its standard input does. Each server echoes, and closes with
4001 when it gets the text ``"close"``. Only ``flood`` is another kind of server: it sends as fast
as it can, at ``/goodbye`` with a close frame in between.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import ssl
import struct
import sys
import threading
from typing import Any

#: Bytes of each message of the flood.
FLOOD_SIZE = 64


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    listener.setblocking(False)
    return listener


def _announce(*listeners: socket.socket) -> None:
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)


async def _wait_for_end() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _serve_websockets(context: ssl.SSLContext, extensions: Any = None) -> None:
    from websockets.asyncio.server import serve

    async def handle(connection: Any) -> None:
        async for message in connection:
            if message == "close":
                await connection.close(4001, "as you wish")
            elif message == "fragments":
                # Three fragments, and a ping between the first two.
                await connection.send(_pieces(connection))
            else:
                await connection.send(message)

    async def _pieces(connection: Any) -> Any:
        yield "one "
        await connection.ping()
        yield "two "
        yield "three"

    plain, secure = _listen(), _listen()
    async with (
        serve(handle, sock=plain, max_size=None, extensions=extensions),
        serve(handle, sock=secure, ssl=context, max_size=None, extensions=extensions),
    ):
        _announce(plain, secure)
        await _wait_for_end()


async def _serve_sparingly(context: ssl.SSLContext) -> None:
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=9,
        client_max_window_bits=8,
        require_client_max_window_bits=True,
    )
    await _serve_websockets(context, [factory])


async def _serve_aiohttp(context: ssl.SSLContext) -> None:
    from aiohttp import WSMsgType, web

    async def handle(request: Any) -> Any:
        connection = web.WebSocketResponse(max_msg_size=0)
        await connection.prepare(request)
        async for message in connection:
            if message.type == WSMsgType.TEXT and message.data == "close":
                await connection.close(code=4001, message=b"as you wish")
            elif message.type == WSMsgType.TEXT:
                await connection.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await connection.send_bytes(message.data)
        return connection

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    plain, secure = _listen(), _listen()
    await web.SockSite(runner, plain).start()
    await web.SockSite(runner, secure, ssl_context=context).start()
    _announce(plain, secure)
    await _wait_for_end()
    await runner.cleanup()


async def _serve_tornado(context: ssl.SSLContext) -> None:
    from tornado.httpserver import HTTPServer
    from tornado.web import Application
    from tornado.websocket import WebSocketHandler

    class Echo(WebSocketHandler):
        def get_compression_options(self) -> dict[str, Any]:
            return {}

        def on_message(self, message: Any) -> None:
            if message == "close":
                self.close(4001, "as you wish")
            else:
                self.write_message(message, binary=isinstance(message, bytes))

    app = Application([("/", Echo)], websocket_max_message_size=64 * 1024 * 1024)
    plain, secure = _listen(), _listen()
    HTTPServer(app).add_sockets([plain])
    HTTPServer(app, ssl_options=context).add_sockets([secure])
    _announce(plain, secure)
    await _wait_for_end()


async def _serve_flood(context: ssl.SSLContext) -> None:
    plain, secure = _listen(), _listen()
    plain.setblocking(True)
    secure.setblocking(True)
    _announce(plain, secure)
    for listener in (plain, context.wrap_socket(secure, server_side=True)):
        threading.Thread(target=_accept_forever, args=(listener,), daemon=True).start()
    await _wait_for_end()
    os._exit(0)  # the threads never stop sending


def _accept_forever(listener: socket.socket) -> None:
    while True:
        threading.Thread(target=_flood, args=(listener.accept()[0],), daemon=True).start()


def _flood(sock: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(65536)
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    accept = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    frames = (struct.pack(">BB", 0x81, FLOOD_SIZE) + b"x" * FLOOD_SIZE) * 4000
    try:
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        if b" /goodbye " in head:
            sock.sendall(frames + b"\x88\x02\x03\xe8")
        while True:
            sock.sendall(frames)
    except OSError:
        sock.close()


def _main() -> None:
    kind, certificate = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    serve = {
        "websockets": _serve_websockets,
        "websockets-sparing": _serve_sparingly,
        "aiohttp": _serve_aiohttp,
        "tornado": _serve_tornado,
        "flood": _serve_flood,
    }[kind]
    asyncio.run(serve(context))


if __name__ == "__main__":
    _main()
