"""The handlers of a client: one method for each kind of event, to be overridden."""

from __future__ import annotations

from . import events
from .options import find_near_miss


class Handlers:
    """The methods that a :class:`~greenws.Client` calls. All of them do nothing, but for
    :meth:`on_error`, and wait to be overridden.
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
        """The server refused the upgrade; ``event.response`` is the server's answer."""

    def on_ready(self, event: events.Ready) -> None:
        """Messages may be sent."""

    def on_poll(self, event: events.Poll) -> None:
        """``poll`` seconds have passed."""

    def on_text(self, event: events.Text) -> None:
        """A text message: ``event.text``, or decoded ``event.json``."""

    def on_binary(self, event: events.Binary) -> None:
        """A binary message: ``event.data``, or decoded ``event.json``."""

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
        """A connection that became ready has ended.

        This method is the counterpart of :meth:`on_ready`, and the last handler of a connection:
        called exactly once, whatever ended the connection, :meth:`kill` included.

        :param event: ``event.code`` is the close code received, ``event.reason`` says why the
            connection ended: in the words of the server, if its close frame has any.
        """

    def on_error(self, error: Exception) -> None:
        """A handler raised ``error``.

        The default raises ``error`` again: the connection is closed with 1011, no further message
        is handled, and the exception comes out of :meth:`run` and :meth:`join`. If an override
        returns instead, the connection goes on as if nothing had happened.

        A send that is refused because the client was closed or killed is no error of the handler's:
        the handler ends there, the refusal is told in the log at DEBUG, and nothing else happens.
        """
        raise error


#: The name of the handler of each event, by the name of the event. No event is called ``close``;
#: that name stands for :meth:`Handlers.on_close`.
HANDLER_NAMES: dict[str, str] = {
    name.removeprefix("on_"): name
    for name in vars(Handlers)
    if name.startswith("on_") and name != "on_error"
}

#: Handlers of other libraries, with the names of ours.
FOREIGN_HANDLERS: dict[str, str] = {
    "on_connect": "on_ready",
    "on_connection": "on_ready",
    "on_connection_close": "on_close",
    "on_connection_lost": "on_close",
    "on_cont_message": "on_text or on_binary",
    "on_data": "on_text or on_binary",
    "on_disconnect": "on_close",
    "on_exception": "on_error",
    "on_fail": "on_connect_fail",
    "on_message": "on_text or on_binary",
    "on_msg": "on_text or on_binary",
    "on_open": "on_ready",
    "on_opened": "on_ready",
    "on_receive": "on_text or on_binary",
    "on_reconnect": "on_back_off",
    "on_recv": "on_text or on_binary",
    "on_ws_connected": "on_ready",
    "on_ws_disconnected": "on_close",
    "on_ws_frame": "on_text or on_binary",
    "received_message": "on_text or on_binary",
}

_HANDLERS = (*HANDLER_NAMES.values(), "on_error")
# A foreign word of so few letters has no slips.
_SHORTEST = 3
_WORDS = {name.removeprefix("on_"): name for name in _HANDLERS}
_FOREIGN_WORDS = {
    name.removeprefix("on_"): meant
    for name, meant in FOREIGN_HANDLERS.items()
    if len(name.removeprefix("on_")) > _SHORTEST
}


def find_handler(name: str) -> str | None:
    """Find the handler that the name of an attribute means, although it is another name.

    :returns: the name of the handler, or of two; None: the name is a handler's, or one of the
        user's own.
    """
    if name in _HANDLERS:
        return None
    plain = name.lower().replace("_", "")
    names = {**FOREIGN_HANDLERS, **dict(zip(_HANDLERS, _HANDLERS, strict=True))}
    for known, meant in names.items():
        if plain == known.replace("_", ""):
            return meant
    if not name.lower().startswith("on_"):
        return None
    # "on" is no part of the word that may have slips.
    for words in (_WORDS, _FOREIGN_WORDS):
        word = find_near_miss(name[3:], words)
        if word is not None:
            return words[word]
    return None
