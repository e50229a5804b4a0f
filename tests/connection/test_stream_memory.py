"""The memory of a message in pieces, which does not depend on the size of the message."""

from __future__ import annotations

import sys

import pytest

from tests.support.run import run_script

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="Linux alone tells the peak of the memory"
)

# MiB of the message, and of what may be used beside it.
SIZE = 64
BAR = 8

# The peer is a thread of the client's process, with one block that it sends again and again.
SCRIPT = """
import base64, gc, hashlib, socket, sys, threading, zlib

import gevent
import greenws

kind, compressed, way, count = sys.argv[1], sys.argv[2] == "deflate", sys.argv[3], int(sys.argv[4])
TEXT = "a\\u00e4\\u20ac\\U0001d11e" * 6554
BLOCK = TEXT.encode() if kind == "text" else bytes(range(256)) * 256
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

def build(first, payload):
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload

def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(min(65536, size - len(data)))
        assert more
        data += more
    return data

def read_frame(sock):
    first, length = read_exactly(sock, 2)
    length &= 127
    if length > 125:
        length = int.from_bytes(read_exactly(sock, 2 if length == 126 else 8), "big")
    key = read_exactly(sock, 4)
    payload = read_exactly(sock, length)
    if length < 100:
        payload = bytes(byte ^ key[i & 3] for i, byte in enumerate(payload))
    return first, payload

def serve():
    sock, _ = listener.accept()
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += sock.recv(65536)
    key = next(l[19:] for l in head.split(b"\\r\\n") if l.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key.strip() + GUID).digest())
    extra = b"Sec-WebSocket-Extensions: permessage-deflate\\r\\n" if compressed else b""
    sock.sendall(b"HTTP/1.1 101 OK\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\\r\\n" + extra + b"\\r\\n")
    opcode = (1 if kind == "text" else 2) | (64 if compressed else 0)
    block = BLOCK
    if compressed:
        # After a full flush nothing is referred to, so the block may be repeated.
        compressor = zlib.compressobj(wbits=-15)
        block = compressor.compress(BLOCK) + compressor.flush(zlib.Z_FULL_FLUSH)
    for _ in range(2):  # the first one is to warm up
        size = int(read_frame(sock)[1])
        if way == "one frame":
            sock.sendall(bytes((128 | opcode, 127)) + (len(block) * size).to_bytes(8, "big"))
            for _ in range(size):
                sock.sendall(block)
        else:
            for number in range(size):
                sock.sendall(build(0 if number else opcode, block))
            sock.sendall(build(128, b"\\0" if compressed else b""))
    for _ in range(2):
        total = 0
        first = 0
        while not first & 128:
            first, payload = read_frame(sock)
            total += len(payload)
        sock.sendall(build(0x81, str(total).encode()))
    _, payload = read_frame(sock)
    sock.sendall(build(0x88, payload))
    sock.close()

def read_peak():
    with open("/proc/self/status") as file:
        lines = file.readlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def measure(function):
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = read_peak()
    function()
    print(read_peak() - before)

def receive(size):
    connection.websocket.send_text(str(size), compress=False)
    if way == "late":
        while not connection.websocket.stream.is_joining:
            gevent.sleep(0.01)
        gevent.sleep(0.1)  # as much arrives as is taken in before anybody asks for it
    expected = len(TEXT if kind == "text" else BLOCK) * size
    got = 0
    for piece in connection.receive_stream(30):
        got += len(piece)
    assert got == expected, (got, expected)

def send(size):
    chunk = TEXT if kind == "text" else BLOCK
    connection.send_stream(chunk for _ in range(size))
    connection.receive(30)

listener = socket.create_server(("127.0.0.1", 0))
serving = threading.Thread(target=serve, daemon=True)
serving.start()
url = "ws://127.0.0.1:%d" % listener.getsockname()[1]
connection = greenws.connect(url, compress=compressed, proxies={})
receive(100)
measure(lambda: receive(count))
send(100)
measure(lambda: send(count))
connection.close()
serving.join()
listener.close()
"""


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize(
    ("compression", "way"),
    [
        ("plain", "one frame"),
        ("plain", "fragments"),
        ("plain", "late"),
        ("deflate", "fragments"),
        ("deflate", "late"),
    ],
)
def test_message_in_pieces_takes_little_memory(kind: str, compression: str, way: str) -> None:
    output = run_script(SCRIPT, kind, compression, way, SIZE * 16)
    received, sent = (int(line) / 1024 for line in output.split())
    assert received < BAR
    assert sent < BAR
