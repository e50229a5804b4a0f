"""Network namespaces with a TUN device each, and no trace of them when their process has ended.

A namespace has no name: it lives as long as a process that is in it, or that holds its descriptor.
``python -m benchmarks.namespaces PATH,PATH COMMAND...`` runs a command in the namespaces of these
paths. Users who are not root are root in a user namespace, where the system allows that.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

#: The device of Linux that makes TUN devices.
TUN = "/dev/net/tun"
#: The addresses of the two ends, of a network that is for documentation (RFC 5737).
ADDRESSES = ("192.0.2.1", "192.0.2.2")
NETMASK = "255.255.255.0"
MTU = 1500
#: The packets that wait for the forwarder, at most. Those beyond are lost, and not by the link; so
#: there are more than it ever takes.
QUEUE_LENGTH = 10_000

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IFF_UP = 0x1
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_SIOCSIFMTU = 0x8922
_SIOCSIFTXQLEN = 0x8943
_NAME = b"link"
_SYSCTLS = Path("/proc/sys/net/ipv4")


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library.

    :raises OSError: the call failed.
    """
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def make_user_namespace() -> int:
    """Have this process be root in a new user namespace, and return the namespace's descriptor.

    :raises OSError: this user may not, or this system cannot.
    """
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),  # what the kernel wants before users may map a group
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        Path("/proc/self", name).write_text(text, encoding="ascii")
    return os.open("/proc/self/ns/user", os.O_RDONLY)


def make_network_namespace() -> int:
    """Have this process be in a new network namespace, and return its descriptor.

    :raises OSError: this user may not, or this system cannot.
    """
    _call("unshare", _CLONE_NEWNET)
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def open_device(address: str) -> int:
    """Make a TUN device in the namespace of this process, and return its descriptor.

    :raises OSError: this user may not, or this system cannot.
    """
    with ExitStack() as undo:
        device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        undo.callback(os.close, device)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", _NAME, _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for request, argument in (
                (_SIOCSIFADDR, _pack_address(address)),
                (_SIOCSIFNETMASK, _pack_address(NETMASK)),
                (_SIOCSIFMTU, struct.pack("i20x", MTU)),
                (_SIOCSIFFLAGS, struct.pack("H22x", _IFF_UP)),
            ):
                fcntl.ioctl(control, request, struct.pack("16s24s", _NAME, argument))
            with suppress(PermissionError):  # asks for the machine's root; else 500 packets
                length = struct.pack("16si20x", _NAME, QUEUE_LENGTH)
                fcntl.ioctl(control, _SIOCSIFTXQLEN, length)
        undo.pop_all()
        return device


def _pack_address(address: str) -> bytes:
    """Return a ``struct sockaddr_in``."""
    return struct.pack("HH4s16x", socket.AF_INET, 0, socket.inet_aton(address))


def set_tcp() -> str:
    """Set what TCP does in the namespace of this process, the same for every connection.

    The control of congestion is BBR, if the kernel has it. CUBIC, which most systems have by
    default, takes 1 % of lost packets for a sign of a full link: all clients would get 0.2 MB/s.
    And the kernel forgets what one connection has learned of the link, so that the next client
    begins like the first one.

    :returns: the name of the congestion control.
    :raises OSError: this user may not, or this system cannot.
    """
    _SYSCTLS.joinpath("tcp_no_metrics_save").write_text("1", encoding="ascii")
    control = _SYSCTLS / "tcp_congestion_control"
    available = _SYSCTLS / "tcp_available_congestion_control"
    if "bbr" in available.read_text(encoding="ascii").split():
        with suppress(OSError):  # the system may keep it from users
            control.write_text("bbr", encoding="ascii")
    return control.read_text(encoding="ascii").strip()


def enter(path: str) -> None:
    """Have this process be in the namespace of a path.

    :raises OSError: this user may not, or there is no such namespace.
    """
    namespace = os.open(path, os.O_RDONLY)
    try:
        _call("setns", namespace, 0)
    finally:
        os.close(namespace)


if __name__ == "__main__":
    for part in sys.argv[1].split(","):
        enter(part)
    os.execvp(sys.argv[2], sys.argv[2:])
