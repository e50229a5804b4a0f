"""Fixed numbers and strings of the protocol, and the limits and defaults of greenws."""

from __future__ import annotations

import platform
from typing import Final

from .version import __version__

#: The text that is appended to the key of a handshake before hashing (RFC 6455 section 1.3). The
#: text is not a secret.
WS_KEY: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: The only version of the protocol (RFC 6455 section 4.1).
WS_VERSION: Final = 13

#: The default ``User-Agent`` of the opening request.
USER_AGENT: Final = "greenws/{} {}/{} {}/{}".format(
    __version__,
    platform.python_implementation(),
    platform.python_version(),
    platform.system(),
    platform.release(),
)

#: The largest payload of a control frame, in bytes (RFC 6455 section 5.5).
MAX_CONTROL_PAYLOAD: Final = 125

#: The longest reason of a close frame, in bytes: a control payload less the two bytes of the code.
MAX_CLOSE_REASON: Final = MAX_CONTROL_PAYLOAD - 2

#: The largest head of an HTTP response or request, in bytes. A larger head is refused.
MAX_HEAD_SIZE: Final = 64 * 1024

#: The number of bytes that are kept of the body of a rejection.
MAX_BODY_SIZE: Final = 64 * 1024

#: The default of ``max_size``: the largest message, in bytes after inflation.
MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024

#: The default of ``open_timeout``: seconds for DNS, TCP, proxy, TLS and upgrade together.
OPEN_TIMEOUT: Final = 30.0

#: The shortest wait, in seconds: the resolution of libuv's timers.
SHORTEST_WAIT: Final = 0.001

#: The longest wait of one timer, in seconds, which is 31 years: libuv counts milliseconds.
LONGEST_WAIT: Final = 1e9

#: The default of ``send_timeout``: seconds that a sender waits at the high-water mark.
SEND_TIMEOUT: Final = 30.0

#: The default of ``write_limit``: the bytes in the send queue at which a sender waits (the
#: high-water mark).
WRITE_LIMIT: Final = 256 * 1024

#: Seconds in which the clients that run are drained when the interpreter exits.
EXIT_TIMEOUT: Final = 1.0

#: The default of ``max_redirects``: the largest number of redirects to follow.
MAX_REDIRECTS: Final = 10

#: The default of ``max_queue``: messages received and not taken at which reading stops.
MAX_QUEUE: Final = 16
