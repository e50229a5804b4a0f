"""Fixed numbers and strings of the protocol, and the limits greenws sets itself."""

from __future__ import annotations

import platform
from typing import Final

from .version import __version__

#: Appended to the key of a handshake before hashing (RFC 6455 section 1.3); not a secret.
WS_KEY: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: The only version of the protocol there is (RFC 6455 section 4.1).
WS_VERSION: Final = 13

#: The default ``User-Agent`` of the opening request.
USER_AGENT: Final = "greenws/{} {}/{} {}/{}".format(
    __version__,
    platform.python_implementation(),
    platform.python_version(),
    platform.system(),
    platform.release(),
)

#: Payload of a control frame, bytes (RFC 6455 section 5.5).
MAX_CONTROL_PAYLOAD: Final = 125

#: Reason of a close frame, bytes: a control payload less the two of the code.
MAX_CLOSE_REASON: Final = MAX_CONTROL_PAYLOAD - 2

#: Head of an HTTP response or request, bytes; beyond it the peer is refused.
MAX_HEAD_SIZE: Final = 64 * 1024

#: Body of a rejection that is kept, bytes.
MAX_BODY_SIZE: Final = 64 * 1024

#: One message, bytes after inflation, unless the user says otherwise.
MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024

#: Seconds over DNS, TCP, proxy, TLS and upgrade together.
OPEN_TIMEOUT: Final = 30.0

#: Seconds: the shortest wait there is. Timers of libuv know no less.
SHORTEST_WAIT: Final = 0.001

#: Seconds a sender waits at the high-water mark.
SEND_TIMEOUT: Final = 30.0

#: Bytes queued for sending at which the sender waits (the high-water mark).
WRITE_LIMIT: Final = 256 * 1024

#: Redirects followed before giving up.
MAX_REDIRECTS: Final = 10
