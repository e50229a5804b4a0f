"""A certificate authority of the tests' own."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trustme

#: Every name a client on loopback can know its server by.
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A certificate authority, with files and contexts of what it vouches for.

    :param folder: for the files.
    :param name: stands in front of the names of the files, for several authorities in a folder.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self.ca = trustme.CA()
        self._folder = folder
        self._name = name
        #: The file of the authority's own certificate, for clients that trust it.
        self.cafile = self._write("ca.pem", self.ca.cert_pem)

    def issue(self, *names: str, **options: Any) -> trustme.LeafCert:
        """Make a certificate for these names; without a name it is for those of loopback.

        :param options: of ``trustme.CA.issue_cert``.
        """
        return self.ca.issue_cert(*(names or LOCAL_NAMES), **options)

    def issue_file(self, file: str, *names: str, **options: Any) -> str:
        """Make a certificate as :meth:`issue` does.

        :returns: the path of a file with the certificate and its key.
        """
        return self._write(file, self.issue(*names, **options).private_key_and_cert_chain_pem)

    def issue_pair(self, file: str, *names: str, **options: Any) -> tuple[str, str]:
        """Make a certificate as :meth:`issue` does.

        :returns: the path of a file with the certificate, and of one with its key.
        """
        leaf = self.issue(*names, **options)
        certificate = self._write(f"{file}.pem", leaf.cert_chain_pems[0])
        return certificate, self._write(f"{file}.key", leaf.private_key_pem)

    def server_context(self, *names: str, **options: Any) -> ssl.SSLContext:
        """The context of a server with a certificate as :meth:`issue` makes it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.issue(*names, **options).configure_cert(context)
        return context

    def _write(self, file: str, blob: trustme.Blob) -> str:
        path = str(self._folder / (f"{self._name}-{file}" if self._name else file))
        blob.write_to_path(path)
        return path
