"""Objects and commands on the pipes between the processes of a load run."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from collections.abc import Iterator
from typing import IO, Any

from ...sessions.wait import WRITE
from ..process import read_stdin
from ..streams import wait_for

# A pipe that is writable takes so many bytes without waiting: PIPE_BUF of POSIX is 512 at least,
# and 4096 on Linux.
_PIECE = 512 if sys.platform != "linux" else 4096

_HEAD = struct.Struct("!I")

#: The commands for a process: go on with the next step of the run; end the run.
GO, STOP = b"g", b"s"


def pack(thing: object) -> bytes:
    """Return the bytes of an object, for a pipe."""
    data = pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(data)) + data


def write_stdout(data: bytes) -> None:
    """Write to stdout, which is a pipe; the hub goes on.

    :raises OSError: nobody reads any more.
    """
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        while piece:
            wait_for(1, WRITE)
            piece = piece[os.write(1, piece) :]


def read_objects(pipe: IO[Any]) -> Iterator[Any]:
    """Iterate over the objects that come out of a pipe, until its other end is closed."""
    while True:
        head = pipe.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        (size,) = _HEAD.unpack(head)
        data = pipe.read(size)
        if len(data) < size:
            return
        yield pickle.loads(data)


def read_instructions() -> tuple[Any, Iterator[bytes]]:
    """Read the object that stdin begins with.

    :returns: the object, and an iterator over the commands that follow until stdin ends.
    :raises EOFError: stdin has ended before.
    """
    data = b""
    while len(data) < _HEAD.size or len(data) < _HEAD.size + _HEAD.unpack_from(data)[0]:
        chunk = read_stdin()
        if not chunk:
            raise EOFError
        data += chunk
    end = _HEAD.size + _HEAD.unpack_from(data)[0]
    return pickle.loads(data[_HEAD.size : end]), _iterate_commands(data[end:])


def _iterate_commands(data: bytes) -> Iterator[bytes]:
    while True:
        for number in range(len(data)):
            yield data[number : number + 1]
        data = read_stdin()
        if not data:
            return
