"""TLS over any transport, TLS itself included.

The handshake and the records are OpenSSL's, over two memory buffers (``SSLContext.wrap_bio``)
rather than a socket: so every SSLContext will do, made by the user or by us, before or after
monkey patching, and nothing in here waits. Only :func:`handshake` does.

How bytes flow: what :meth:`TLSTransport.recv_into` needs is read from the lower transport in
steps of a few records into ``incoming``. Whatever OpenSSL has put into ``outgoing`` goes down
after each call; what the lower one does not take stays in ``unsent``, and until it has gone no
further plaintext is accepted. So the memory buffers never grow beyond a step.

**Records without data.** A peer can send tickets, KeyUpdates, requests of a renegotiation and empty
records for ever. No read waits for data among them: after a few steps it says that it is *paused*,
and goes on in another turn of the loop. Some of them demand an answer. A peer that demands answers
and takes none fails the connection.
"""

from __future__ import annotations

import contextlib
import ssl
from functools import lru_cache
from typing import Any

from ..url import encode_host
from .certificate import NO_TLS, explain, is_end, read_certificate
from .resumption import SessionKeeper, keeper_for
from .transport import Transport, copy_out
from .wait import READ, WRITE, wait

#: Most bytes encrypted in one step: the plaintext of one record (RFC 8446 section 5.1).
STEP = 16 * 1024

#: Most bytes of ciphertext read at once: two records for one system call. The memory buffer of a
#: connection only grows to what the connection has received at once. OpenSSL handles all of them in
#: one call that cannot be divided, and what costs most has 27 bytes: a KeyUpdate that demands
#: another one, 20 us. 32 KiB of them take 25 ms.
READ_STEP = 32 * 1024

# Bytes read at once as long as records without data come. A whole record always fits.
_SMALL_STEP = 17 * 1024

# Reads in a row that give no data, before others have their turn. A record comes in as many pieces
# as the network likes, so one is not enough.
_MAX_EMPTY = 4

# Bytes of answers to the peer that it does not take. An honest peer demands a few in an hour.
_MAX_UNSENT = 64 * 1024

# The bytes that the records of a server can begin with: of an alert, or of a handshake.
_FIRST = (0x15, 0x16)

# Buffers for reading ciphertext. A reader takes one and puts it back, without a switch in between,
# so there are as many as threads, and levels of TLS in TLS, that read at the same time.
_buffers: list[memoryview] = []


class TLSTransport(Transport):
    """A client's side of TLS.

    :param lower: what it runs over; it belongs to this transport from here on.
    :param context: used as it is.
    :param server_hostname: name or address to ask for, and to find in the certificate; None:
        neither, for a context that does not check.
    :param port: of the server; sessions are resumed with the same name and port only, and only if
        the context was made by greenws.
    :raises ValueError: ``server_hostname`` is no host name, or is None although the context checks
        names.
    """

    __slots__ = (
        "_core",
        "_error",
        "_has_begun",
        "_has_data",
        "_has_heard",
        "_incoming",
        "_is_ended",
        "_is_full",
        "_is_over",
        "_is_paused",
        "_is_renegotiating",
        "_is_shut",
        "_lower",
        "_memory",
        "_offered",
        "_outgoing",
        "_ssl",
        "_step",
        "_unread",
        "_unsent",
    )

    def __init__(
        self,
        lower: Transport,
        context: ssl.SSLContext,
        server_hostname: str | None,
        port: int = 443,
    ) -> None:
        name = None if server_hostname is None else _clean_name(server_hostname)
        self._lower = lower
        self._unread: bytes | memoryview = b""
        self._unsent: bytes | memoryview = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._memory: SessionKeeper | None = keeper_for(context, (name, port))
        session = self._memory.session if self._memory is not None else None
        self._offered = session is not None
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=_encode(name, context), session=session
        )
        self._core = _find_core(self._ssl)
        self._error: ssl.SSLError | None = None
        self._has_begun = False
        self._has_data = False
        # Whether the peer has said anything.
        self._has_heard = False
        # Nothing more can be read: the peer has ended the stream, or TLS has failed.
        self._is_over = False
        # The peer renegotiates, on a user's context that allows that, and we wait for its answer.
        self._is_renegotiating = False
        self._is_shut = False
        self._is_ended = False
        self._is_paused = False
        # Whether the last read of ciphertext gave as much as it asked for: there may be more.
        self._is_full = False
        # Bytes of ciphertext to read at once.
        self._step = READ_STEP

    def fileno(self) -> int:
        return self._lower.fileno()

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake resumed an earlier session."""
        return bool(self._core.session_reused)

    @property
    def version(self) -> str | None:
        """The version agreed, as ``"TLSv1.3"``; None before the handshake."""
        version: str | None = self._core.version()
        return version

    @property
    def cipher(self) -> str | None:
        """The cipher suite agreed; None before the handshake."""
        found = self._core.cipher()
        return found[0] if found else None

    def advance_handshake(self) -> bool:
        """Go on with the handshake as far as possible.

        The last bytes of the handshake are not sent at once, but together with the first data: by
        one system call, and in one packet.

        :returns: True when it is done.

        :raises ssl.SSLError: it failed; the alert has been sent if there was room.
        :raises OSError: the lower transport failed.
        """
        if self._has_begun:
            self.flush()
            # It is the peer's turn. Without its bytes, OpenSSL would only raise SSLWantReadError.
            if not self._fill():
                return False
        self._has_begun = True
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                # The answer takes a round trip, so it is no use to read now; unless the lower
                # transport holds bytes, of which its descriptor does not tell.
                if not self._lower.has_buffered or not self._fill():
                    return False
            except ssl.SSLError as error:
                with contextlib.suppress(OSError):  # the error at hand says more than this one
                    self.flush()
                certificate = read_certificate(self._ssl)
                raise ssl.SSLError(error.errno, explain(error, certificate)) from error
            else:
                return True

    def recv_into(self, buffer: bytearray | memoryview, size: int) -> int | None:
        """As :meth:`Transport.recv_into`; None only when TLS itself holds no bytes, or is paused.

        A stream that ends without ``close_notify`` ends all the same: WebSocket's close frame
        tells whether the end was meant.
        """
        unread = self._unread
        if unread:
            self._unread = remaining = copy_out(unread, buffer, size)
            return len(unread) - len(remaining)
        count = self._read(buffer, size)
        if count is None or count == 0 or count == size or not self._incoming.pending:
            return count
        # More records have arrived already; take them along while there is room.
        with memoryview(buffer) as view:
            while count < size and self._incoming.pending:
                with view[count:size] as rest:
                    try:
                        more: int = self._core.read(size - count, rest)
                    except ssl.SSLWantReadError:
                        break
                    except ssl.SSLError as error:
                        # Raised by the next call: the bytes before it come first. Without its
                        # traceback, which would refer to this object.
                        self._error = error.with_traceback(None)
                        break
                if not more:
                    self._is_over = True
                    break
                count += more
        return count

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        """As :meth:`Transport.send`; empty ``data`` only flushes.

        What was taken may still be waiting here: see :attr:`wants_write`.
        """
        if self._unsent and not self.flush():
            return None
        size = len(data)
        if not size:
            return 0 if self.flush() else None
        if size <= STEP:
            sent = self._write(data)
            self.flush()
            return sent or None
        sent = 0
        with memoryview(data) as view:
            while sent < size:
                with view[sent : sent + STEP] as piece:
                    count = self._write(piece)
                sent += count
                if not self.flush() or not count:
                    break
        return sent or None

    def flush(self) -> bool:
        lower = self._lower
        while True:
            piece = self._unsent
            if not piece:
                if not self._outgoing.pending:
                    break
                piece = self._outgoing.read()
            count = lower.send(piece)
            if count is None:
                self._unsent = piece
                return False
            self._unsent = memoryview(piece)[count:] if count < len(piece) else b""
        if self._is_shut and not self._is_ended:
            self._is_ended = True
            lower.shutdown_write()
        return lower.flush()

    @property
    def is_buffering(self) -> bool:
        return True

    @property
    def wants_write(self) -> bool:
        return bool(self._unsent or self._outgoing.pending) or self._lower.wants_write

    @property
    def wants_read(self) -> bool:
        is_due = self._is_renegotiating and not self.wants_write
        return is_due or self._lower.wants_read

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    @property
    def has_buffered(self) -> bool:
        return bool(
            self._unread
            or self._is_paused
            or self._error is not None
            or self._incoming.pending
            or self._core.pending()
            or self._lower.has_buffered
        )

    def unread(self, data: bytes) -> None:
        self._unread = memoryview(data + bytes(self._unread))

    def shutdown_write(self) -> None:
        """Say ``close_notify``, and end the lower stream once that has gone; never raises."""
        if self._is_shut:
            return
        self._is_shut = True
        try:
            self._ssl.unwrap()
        except (OSError, ValueError):
            pass  # it has been written, and the peer's own is not waited for; or TLS has failed
        try:
            self.flush()
        except OSError:
            pass  # the connection is gone already, and with it our half

    def close(self) -> None:
        try:
            self._remember()
        finally:
            self._lower.close()

    def _read(self, buffer: bytearray | memoryview, size: int) -> int | None:
        if self._error is not None:
            error, self._error = self._error, None
            return self._end(error)
        if self._is_over:
            return 0
        self._is_paused = False
        empty = 0
        # Without bytes, OpenSSL would raise SSLWantReadError: an exception for nothing.
        is_dry = not (self._incoming.pending or self._core.pending())
        while True:
            if is_dry:
                if self._outgoing.pending:
                    self.flush()
                if empty and (empty == _MAX_EMPTY or self._is_full):
                    self._step = _SMALL_STEP
                    self._is_paused = True
                    return None
                if not self._fill():
                    self._is_paused = self._lower.is_paused
                    return None
                empty += 1
            try:
                count: int = self._core.read(size, buffer)
            except ssl.SSLWantReadError:
                is_dry = True
            except ssl.SSLError as error:
                return self._end(error)
            else:
                if not count:
                    self._is_over = True
                    return count
                self._step = READ_STEP
                if not self._has_data:
                    self._has_data = True
                    # The tickets, which follow the handshake of TLS 1.3, have been read by now.
                    self._remember()
                    self._trim()
                return count

    def _trim(self) -> None:
        """Have OpenSSL give back 16 KiB.

        Whenever OpenSSL reads a ticket, it takes the buffer of a record to be written, and keeps
        the buffer until the next write. An empty write is allowed, and sends nothing.
        """
        if self._core is not self._ssl and self._core.version() == "TLSv1.3":
            with contextlib.suppress(ssl.SSLError):  # the next read or write will say the same
                self._core.write(b"")

    def _end(self, error: ssl.SSLError) -> int:
        """Return 0 if the stream has merely ended; else raise the error in words, once."""
        self._is_over = True
        if self._is_shut or is_end(error) or isinstance(error, ssl.SSLZeroReturnError):
            return 0
        with contextlib.suppress(OSError):  # the peer need not get the alert
            self.flush()
        raise ssl.SSLError(error.errno, explain(error, is_open=True)) from error

    def _fill(self) -> bool:
        """Pass ciphertext from the lower transport to OpenSSL; False: there is none yet.

        :raises OSError: the peer has taken none of many answers, or the lower transport failed.
        """
        if len(self._unsent) + self._outgoing.pending > _MAX_UNSENT:
            raise OSError("the peer demands answers of TLS without end, and takes none")
        try:
            buffer = _buffers.pop()
        except IndexError:
            buffer = memoryview(bytearray(READ_STEP))
        try:
            count = self._lower.recv_into(buffer, self._step)
            self._is_full = count == self._step
            if count:
                if not self._has_heard:
                    self._has_heard = True
                    # An object of a user's class may speak something else.
                    if buffer[0] not in _FIRST and type(self._ssl) is ssl.SSLObject:
                        # OpenSSL would wait for five bytes, which a short greeting does not have.
                        raise ssl.SSLError(ssl.SSL_ERROR_SSL, NO_TLS)
                self._incoming.write(buffer[:count])
            elif count is None:
                return False
            else:
                self._incoming.write_eof()
            return True
        finally:
            _buffers.append(buffer)

    def _write(self, piece: bytes | bytearray | memoryview) -> int:
        """Encrypt a piece; 0: not now, as a renegotiation is under way."""
        try:
            count: int = self._core.write(piece)
            self._is_renegotiating = False
        except ssl.SSLWantReadError:
            self._is_renegotiating = True
            return 0
        except ssl.SSLError as error:
            raise ssl.SSLError(error.errno, explain(error, is_open=True)) from error
        return count

    def forget_session(self) -> None:
        """Let the next handshake be a full one."""
        if self._memory is not None:
            self._memory.session = None

    def _remember(self) -> None:
        """Keep the TLS session for the next connection, once, if that one needs it."""
        memory, self._memory = self._memory, None
        if memory is None:
            return
        version = self._core.version()
        if version is None:
            return  # there was no handshake
        if self._offered:
            if self._core.session_reused:
                memory.record_resumption()
            else:
                memory.record_refusal()
        if not memory.wants_renewal:
            return
        session = self._core.session
        # With TLS 1.3, a session cannot be resumed before its tickets have come.
        if session is not None and (session.has_ticket or version != "TLSv1.3"):
            memory.keep(session)
        else:
            memory.record_vain()


def handshake(transport: TLSTransport) -> None:
    """Do the handshake, waiting in the calling greenlet; the transport stays the caller's.

    :raises ssl.SSLError: it failed; ``str`` says why in words.
    :raises OSError: the lower transport failed.
    """
    try:
        while not transport.advance_handshake():
            wait(transport.fileno(), READ | WRITE if transport.wants_write else READ)
    except OSError:
        transport.forget_session()  # it may have been the cause
        raise


# Thousands of connections have a few names between them.
@lru_cache(maxsize=256)
def _clean_name(name: str) -> str:
    """Return the name in TLS' form: IDNA, no zone, no dot of the root (RFC 6066 section 3)."""
    if ":" in name:
        return name.partition("%")[0]
    try:
        return encode_host(name.removesuffix("."))
    except ValueError:
        raise ValueError(f"{name!r} is no host name") from None


def _encode(name: str | None, context: ssl.SSLContext) -> str | bytes | None:
    """Encode the name, as Python's IDNA codec in ``wrap_bio`` is slow. A subclass of the user's may
    not take bytes, and gets the str.
    """
    if name is not None and type(context).wrap_bio is ssl.SSLContext.wrap_bio:
        return name.encode("ascii")
    return name


def _find_core(tls: ssl.SSLObject) -> Any:
    """Return the object to which the methods of an SSLObject forward. An object of another class
    may do more in its methods, and is returned itself.
    """
    return getattr(tls, "_sslobj", tls) if type(tls) is ssl.SSLObject else tls
