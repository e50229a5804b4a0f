"""Close codes (RFC 6455 section 7.4 and the IANA registry of close codes)."""

from __future__ import annotations

from typing import Final


class Status:
    """Names of the close codes."""

    NORMAL: Final = 1000
    GOING_AWAY: Final = 1001
    PROTOCOL_ERROR: Final = 1002
    DATA_NOT_UNDERSTOOD: Final = 1003
    NO_STATUS: Final = 1005  # never on the wire: the close frame was empty
    ABNORMAL: Final = 1006  # never on the wire: there was no close frame
    BAD_DATA: Final = 1007
    POLICY_VIOLATION: Final = 1008
    MESSAGE_TOO_LARGE: Final = 1009
    EXTENSION_FAILED: Final = 1010
    UNEXPECTED_CONDITION: Final = 1011
    SERVICE_RESTART: Final = 1012
    TRY_AGAIN_LATER: Final = 1013
    BAD_GATEWAY: Final = 1014

    #: Codes below 3000 that no close frame may carry (RFC 6455 section 7.4.2).
    invalid_codes: Final = frozenset({*range(1000), 1004, NO_STATUS, ABNORMAL, *range(1015, 3000)})


def is_sendable(code: int) -> bool:
    """Tell whether a close frame may carry ``code``.

    RFC 6455 section 7.4.2: a close frame may carry the registered codes of 1000-2999, the codes
    3000-3999 for libraries, and the codes 4000-4999 for private use. All other codes are an error,
    on the wire and in a call.
    """
    return 1000 <= code < 5000 and code not in Status.invalid_codes
