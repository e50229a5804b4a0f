"""A certificate authority of a test's own, for servers with TLS."""

from __future__ import annotations

import os
import ssl
from typing import Any

# The names by which a client knows a server on the loopback interface.
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A certificate authority that nobody trusts but those who are given :attr:`cafile`.

    It needs the package ``trustme``, which the extra ``pytest`` has.

    :param folder: an existing folder for the file.
    :raises ImportError: trustme is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        # Only tests with TLS need it.
        try:
            import trustme
        except ImportError as error:
            raise ImportError(
                "servers with TLS need the package trustme: pip install 'greenws[pytest]'"
            ) from error
        self._ca: Any = trustme.CA()
        #: The path of the authority's certificate (PEM), for the option ``ssl_cafile``.
        self.cafile: str = os.path.join(folder, "greenws-authority.pem")
        self._ca.cert_pem.write_to_path(self.cafile)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.cafile}>"

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Make the context of a server, with a certificate for these names.

        :param names: host names and addresses; none: those of the loopback interface.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or _LOCAL_NAMES)).configure_cert(context)
        return context
