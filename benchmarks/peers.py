"""The peers: the way to run each peer, the works it can do, and the installed peers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec

_ONE = frozenset({"receive", "send", "echo", "connect"})
_MANY = _ONE | {"many", "idle", "fairness"}
#: The works of ``benchmarks.growth`` alone.
_GROWTH = frozenset({"beat", "ramp"})


@dataclass(frozen=True)
class Peer:
    """One way to run one library.

    :param name: the name in reports.
    :param module: the module of ``benchmarks.clients``.
    :param distribution: the distribution whose version is reported; "": none.
    :param needs: the modules that must be installed.
    :param can: the works of the peer, and its abilities: ``many`` (many connections, in one thread
        or in as many threads as needed), ``tls``, ``deflate``, and ``wishes`` (as its user says).
    :param family: the name in bars; the best peer of a family counts.
    :param variant: the variant that the client is told to run.
    :param environment: more environment variables of the client.
    """

    name: str
    module: str
    distribution: str
    needs: tuple[str, ...]
    can: frozenset[str]
    family: str
    variant: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        return all(find_spec(name) is not None for name in self.needs)


def _asyncio_peers(
    name: str, module: str, distribution: str, can: Iterable[str]
) -> tuple[Peer, Peer]:
    needs = (distribution,)
    abilities = frozenset(can)
    return (
        Peer(name, module, distribution, needs, abilities, name),
        Peer(f"{name}+uvloop", module, distribution, (*needs, "uvloop"), abilities, name, "uvloop"),
    )


#: The works of the open network.
_FAR = {"upload", "rest"}
_TLS = {"tls"}
_DEFLATE = {"deflate"}

PEERS: tuple[Peer, ...] = (
    Peer(
        "greenws",
        "greenws",
        "greenws",
        ("greenws",),
        _MANY | _TLS | _DEFLATE | _FAR | _GROWTH | {"wishes", "drain", "at_work", "ping"},
        "greenws",
    ),
    Peer(
        "greenws-pure",
        "greenws",
        "greenws",
        ("greenws",),
        _MANY | _TLS | _DEFLATE,
        "greenws-pure",
        environment={"GREENWS_PURE_PYTHON": "1"},
    ),
    Peer(
        "greenws-no-busy-poll",
        "greenws",
        "greenws",
        ("greenws",),
        _MANY | _FAR,
        "greenws-no-busy-poll",
        environment={"GREENWS_BUSY_POLL": "0"},
    ),
    Peer(
        "greenws-connection",
        "greenws_connection",
        "greenws",
        ("greenws",),
        frozenset({"receive", "echo", "idle", "many"}) | _TLS | _DEFLATE,
        "greenws-connection",
    ),
    Peer(
        "greenws-group",
        "greenws_group",
        "greenws",
        ("greenws",),
        frozenset({"echo", "idle", "drain", "many"}),
        "greenws-group",
    ),
    Peer(
        "greenws-locust",
        "locust_users",
        "locust",
        ("locust",),
        frozenset({"locust_echo", "locust_idle", "many"}),
        "greenws-locust",
        "greenws",
    ),
    Peer(
        "websocket-client-locust",
        "locust_users",
        "websocket-client",
        ("locust", "websocket"),
        frozenset({"locust_echo", "locust_idle", "many"}),
        "websocket-client-locust",
    ),
    *_asyncio_peers("picows", "picows", "picows", _MANY | _TLS | _GROWTH),
    *_asyncio_peers("aiohttp", "aiohttp", "aiohttp", _MANY | _TLS | _DEFLATE | _FAR),
    *_asyncio_peers(
        "websockets", "websockets_asyncio", "websockets", _MANY | _TLS | _DEFLATE | _FAR
    ),
    Peer(
        "websockets-sync",
        "websockets_sync",
        "websockets",
        ("websockets",),
        _ONE | _TLS | _DEFLATE | {"idle"},
        "websockets-sync",
    ),
    Peer(
        "websocket-client",
        "websocket_client",
        "websocket-client",
        ("websocket",),
        _ONE | _TLS,
        "websocket-client",
    ),
    Peer(
        "websocket-client+gevent",
        "websocket_client",
        "websocket-client",
        ("websocket", "gevent"),
        _MANY | _TLS,
        "websocket-client",
        "gevent",
    ),
    Peer("ws4py+gevent", "ws4py", "ws4py", ("ws4py", "gevent"), _MANY | _TLS, "ws4py"),
    Peer(
        "lomond",
        "lomond",
        "lomond",
        ("lomond",),
        _ONE | _DEFLATE | {"many", "idle"},
        "lomond",
    ),
    Peer("bare gevent.socket", "bare_gevent", "gevent", ("gevent",), _MANY | _TLS, "bare-gevent"),
    Peer(
        "bare socket",
        "bare_socket",
        "",
        (),
        _ONE | _TLS | _DEFLATE | _GROWTH | {"many"},
        "bare-socket",
    ),
)


def find_peers(wanted: Iterable[str] | None = None) -> list[Peer]:
    """Find the installed peers.

    :param wanted: names or families of peers; None: all peers.
    :raises ValueError: a name is unknown.
    """
    if wanted is None:
        return [peer for peer in PEERS if peer.is_installed]
    names = set(wanted)
    known = {name for peer in PEERS for name in (peer.name, peer.family)}
    if names - known:
        unknown = ", ".join(sorted(names - known))
        raise ValueError(f"unknown peers: {unknown}; there are {', '.join(sorted(known))}")
    return [peer for peer in PEERS if peer.is_installed and names & {peer.name, peer.family}]
