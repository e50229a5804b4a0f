"""The handlers of a client: one method for each kind of event, to be overridden."""

from __future__ import annotations

from . import events


class Handlers:
    """What a :class:`~greenws.Client` calls. None of these methods does anything by itself, but
    :meth:`on_error`.
    """

    __slots__ = ()

    def on_connecting(self, event: events.Connecting) -> None:
        """A connection is about to be opened."""

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        """The connection could not be opened; ``event.reason`` says which step failed and why.

        ``event.error`` is a :class:`~greenws.errors.ProxyFail` if it was a proxy that refused.
        """

    def on_connected(self, event: events.Connected) -> None:
        """The transport is open, and the request for the upgrade is on its way."""

    def on_rejected(self, event: events.Rejected) -> None:
        """The server refused the upgrade; ``event.response`` is what it said."""

    def on_ready(self, event: events.Ready) -> None:
        """Messages may be sent."""

    def on_poll(self, event: events.Poll) -> None:
        """``poll`` seconds have passed."""

    def on_text(self, event: events.Text) -> None:
        """A text message: ``event.text``, or decoded ``event.json``."""

    def on_binary(self, event: events.Binary) -> None:
        """A binary message: ``event.data``."""

    def on_ping(self, event: events.Ping) -> None:
        """A ping. It has been answered already, unless ``auto_pong`` is off."""

    def on_pong(self, event: events.Pong) -> None:
        """A pong."""

    def on_unresponsive(self, event: events.Unresponsive) -> None:
        """Nothing was heard for ``ping_timeout`` seconds; the connection is dropped."""

    def on_closing(self, event: events.Closing) -> None:
        """The server closes. Messages may be sent until this method returns."""

    def on_closed(self, event: events.Closed) -> None:
        """The server has answered our close."""

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        """The server violated the protocol; it has been told, and the connection ends."""

    def on_disconnected(self, event: events.Disconnected) -> None:
        """A connection that had been opened, or rejected, has ended."""

    def on_back_off(self, event: events.BackOff) -> None:
        """The next connection comes in ``event.delay`` seconds."""

    def on_unknown(self, event: events.UnknownMessage) -> None:
        """A message with an unknown opcode. Only another session class may yield these."""

    def on_close(self, event: events.Disconnected) -> None:
        """The end of what began with :meth:`on_ready`: called exactly once for each connection
        that became ready, whatever ended it, :meth:`kill` included, and last.

        :param event: ``event.code`` is the close code received, ``event.reason`` why it ended.
        """

    def on_error(self, error: Exception) -> None:
        """A handler raised ``error``.

        As it is, the server is told with 1011, no message is handled any more, and the exception
        comes out of :meth:`run` and :meth:`join`. Override it and return, and the connection goes
        on as if nothing had happened.
        """
        raise error


#: The name of the handler of each event, by the name of the event; ``close`` is the bookend.
HANDLER_NAMES: dict[str, str] = {
    name.removeprefix("on_"): name
    for name in vars(Handlers)
    if name.startswith("on_") and name != "on_error"
}
