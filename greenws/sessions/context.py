"""Shares one SSLContext among all connections of the process with the same options.

A context with certifi's certificates takes 13 ms to make and 680 KiB to keep. The files of a
context are checked at each use, because certificates are renewed in place.
"""

from __future__ import annotations

import _ssl
import os
import ssl
from collections import OrderedDict
from stat import S_ISDIR

import certifi

from ..errors import ConnectFail
from ..options import Password
from .resumption import allow_resumption

#: The largest number of contexts to keep; the context not used for longest is dropped first. 64
#: contexts with certifi's certificates take 43 MiB.
MAX_CONTEXTS = 64

_contexts: OrderedDict[tuple[object, ...], ssl.SSLContext] = OrderedDict()


def check_context(context: object) -> None:
    """Check the option ``ssl_context``.

    :raises TypeError: ``context`` is neither an SSLContext nor None.
    """
    # Monkey patching replaces ssl.SSLContext, and a context made before is not an instance of the
    # new class. Both classes have this base class.
    if context is not None and not isinstance(context, _ssl._SSLContext):
        raise TypeError("ssl_context must be an ssl.SSLContext")


def client_context(
    *,
    verify: bool = True,
    cafile: str | os.PathLike[str] | None = None,
    certfile: str | os.PathLike[str] | None = None,
    keyfile: str | os.PathLike[str] | None = None,
    password: Password | None = None,
) -> ssl.SSLContext:
    """Get the context for these options. The same options and files give the same context.

    :param verify: whether the server's certificate and host name are checked.
    :param cafile: the file or directory of the certificates to trust. None: those of
        ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` if set, else certifi's.
    :param certfile: the client's certificate and its chain.
    :param keyfile: the key of the client's certificate; None: the key is in ``certfile``.
    :param password: the password of the key.
    :raises ConnectFail: a file is missing or invalid.
    """
    if keyfile is not None and certfile is None:
        raise ConnectFail(
            "unable to load the client certificate: there is a key but no certificate"
        )
    trusted: tuple[str | None, ...] = ()
    if verify:
        trusted = _find_trusted() if cafile is None else (os.fspath(cafile),)
    names = (
        *trusted,
        None if certfile is None else os.fspath(certfile),
        None if keyfile is None else os.fspath(keyfile),
    )
    fingerprints = [None if name is None else _fingerprint(name) for name in names]
    key = (verify, names, password, os.environ.get("SSLKEYLOGFILE"), *fingerprints)
    context = _contexts.get(key)
    if context is None:
        if verify and cafile is not None:
            is_folder = fingerprints[0] is not None and S_ISDIR(fingerprints[0][0])
            trusted = (None, *trusted) if is_folder else (*trusted, None)
        context = _contexts[key] = _make_context(trusted, names[-2], names[-1], password)
    try:
        _contexts.move_to_end(key)
        while len(_contexts) > MAX_CONTEXTS:
            _contexts.popitem(last=False)
    except KeyError:
        pass  # another thread has just dropped the context, which is valid all the same
    return context


def _find_trusted() -> tuple[str | None, str | None]:
    """Find the default certificates to trust: a file, a directory, or one of each."""
    file = os.environ.get("SSL_CERT_FILE") or None
    directory = os.environ.get("SSL_CERT_DIR") or None
    return (file, directory) if file or directory else (certifi.where(), None)


def _fingerprint(name: str) -> tuple[int, ...] | None:
    """Return the facts that change when a file is replaced; the mode comes first."""
    try:
        found = os.stat(name)
    except OSError:
        return None  # the context cannot load the file either, and that error says why
    return found.st_mode, found.st_mtime_ns, found.st_size, found.st_ino


def _make_context(
    trusted: tuple[str | None, ...],
    certfile: str | None,
    keyfile: str | None,
    password: Password | None,
) -> ssl.SSLContext:
    # The classes of ssl are looked up at each call: monkey patching may happen after the import.
    subject = "TLS"
    try:
        if trusted:
            file, directory = trusted
            subject = f"the trusted certificates in {file or directory}"
            context = ssl.create_default_context(cafile=file, capath=directory)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            keylog = os.environ.get("SSLKEYLOGFILE")
            if keylog:  # create_default_context() reads the variable itself
                subject = f"SSLKEYLOGFILE {keylog}"
                context.keylog_filename = keylog
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # In a renegotiation, a write would have to wait for a read.
        context.options |= ssl.OP_NO_RENEGOTIATION
        if certfile is not None:
            if keyfile is not None:
                # OpenSSL does not tell which of the two files is missing, so the key is opened
                # first.
                subject = f"the key of the client certificate in {keyfile}"
                open(keyfile, "rb").close()
            subject = f"the client certificate in {certfile}"
            context.load_cert_chain(
                certfile, keyfile, _refuse_password if password is None else password
            )
    except (OSError, ValueError, TypeError) as error:
        raise ConnectFail(f"unable to load {subject}: {_name_load_error(error)}") from error
    allow_resumption(context)  # nobody else gets to see the context
    return context


def _refuse_password() -> str:
    # Without a password callback, OpenSSL would ask for the password on the terminal, and block.
    raise ValueError("the key is encrypted, and there is no ssl_password")


def _name_load_error(error: Exception) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error) if isinstance(error, OSError) else str(error)
    if error.reason in ("BAD_DECRYPT", "BAD_PASSWORD_READ", None):
        return "wrong password, or no certificate with its key in the file"
    return error.reason.replace("_", " ").lower()
