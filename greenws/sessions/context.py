"""One SSLContext per set of options for the whole process.

A context with the bundle of certifi takes 13 ms to make and 680 KiB to keep. The files it was
made from are looked at each time, as certificates are renewed in place.
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

#: Contexts that are kept; the one not used for longest goes first.
MAX_CONTEXTS = 64

_contexts: OrderedDict[tuple[object, ...], ssl.SSLContext] = OrderedDict()


def check_context(context: object) -> None:
    """Check the option ``ssl_context``.

    :raises TypeError: if it is neither an SSLContext nor None.
    """
    # The class that every SSLContext has below: one that was made before monkey patching is no
    # instance of the class that ssl has afterwards.
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
    """Get the context for these options; the same one for the same options and files.

    :param verify: whether the server's certificate and host name are checked.
    :param cafile: file, or directory, of the certificates to trust. None: those of
        ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` where set, else certifi's.
    :param certfile: certificate to show to the server, and its chain.
    :param keyfile: its key; None: it is in ``certfile``.
    :param password: of the key.
    :raises ConnectFail: a file is missing, or not what it should be.
    """
    if keyfile is not None and certfile is None:
        raise ConnectFail("unable to load the client certificate: there is a key alone")
    trusted: tuple[str | None, ...] = ()
    if verify:
        trusted = _find_trusted() if cafile is None else (os.fspath(cafile),)
    names = (
        *trusted,
        None if certfile is None else os.fspath(certfile),
        None if keyfile is None else os.fspath(keyfile),
    )
    stamps = [None if name is None else _stamp(name) for name in names]
    key = (verify, names, password, os.environ.get("SSLKEYLOGFILE"), *stamps)
    context = _contexts.get(key)
    if context is None:
        if verify and cafile is not None:
            is_folder = stamps[0] is not None and S_ISDIR(stamps[0][0])
            trusted = (None, *trusted) if is_folder else (*trusted, None)
        context = _contexts[key] = _build(trusted, names[-2], names[-1], password)
    try:
        _contexts.move_to_end(key)
        while len(_contexts) > MAX_CONTEXTS:
            _contexts.popitem(last=False)
    except KeyError:
        pass  # another thread has just dropped it; it is good all the same
    return context


def _find_trusted() -> tuple[str | None, str | None]:
    """Where the certificates to trust are by default: a file, a directory, or one of each."""
    file = os.environ.get("SSL_CERT_FILE") or None
    directory = os.environ.get("SSL_CERT_DIR") or None
    return (file, directory) if file or directory else (certifi.where(), None)


def _stamp(name: str) -> tuple[int, ...] | None:
    """What changes when a file is replaced; its mode comes first."""
    try:
        found = os.stat(name)
    except OSError:
        return None  # it cannot be loaded either, which says why
    return found.st_mode, found.st_mtime_ns, found.st_size, found.st_ino


def _build(
    trusted: tuple[str | None, ...],
    certfile: str | None,
    keyfile: str | None,
    password: Password | None,
) -> ssl.SSLContext:
    # ssl's classes are looked up now, not at import: monkey patching may have come between.
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
            if keylog:  # create_default_context does so by itself
                subject = f"SSLKEYLOGFILE {keylog}"
                context.keylog_filename = keylog
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A renegotiation would make writing wait for reading.
        context.options |= ssl.OP_NO_RENEGOTIATION
        if certfile is not None:
            if keyfile is not None:
                # OpenSSL does not say which of the two is missing.
                subject = f"the key of the client certificate in {keyfile}"
                open(keyfile, "rb").close()
            subject = f"the client certificate in {certfile}"
            context.load_cert_chain(certfile, keyfile, _refuse if password is None else password)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectFail(f"unable to load {subject}: {_describe(error)}") from error
    return context


def _refuse() -> str:
    # Without a password OpenSSL would ask for one on the terminal, and wait there.
    raise ValueError("its key is encrypted, and there is no ssl_password")


def _describe(error: Exception) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error) if isinstance(error, OSError) else str(error)
    if error.reason in ("BAD_DECRYPT", "BAD_PASSWORD_READ", None):
        return "wrong password, or not a certificate with its key"
    return error.reason.replace("_", " ").lower()
