"""The process that is the slow link: two namespaces, a TUN device in each, and packets in between.

``python -m benchmarks.forwarder LINK`` takes the link as JSON. It prints, as JSON, the paths of the
namespaces of both ends, and forwards until its stdin ends. Then it prints what it has counted, and
all that it made is gone.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass

from .link import Forwarder, Link
from .namespaces import (
    ADDRESSES,
    make_network_namespace,
    make_user_namespace,
    open_device,
    set_tcp,
)


@dataclass(frozen=True)
class Ends:
    """The two ends: the namespaces to enter for each, the devices, and TCP's congestion control."""

    namespaces: list[str]
    devices: tuple[int, int]
    control: str


def make_ends() -> Ends:
    """Make the two ends; the process is in the namespaces of the second one afterwards.

    :raises OSError: this user may not, or this system cannot.
    """
    users = [make_user_namespace()] if os.geteuid() else []
    namespaces, devices = [], []
    for address in ADDRESSES:
        held = [*users, make_network_namespace()]
        namespaces.append(",".join(f"/proc/{os.getpid()}/fd/{number}" for number in held))
        control = set_tcp()
        devices.append(open_device(address))
    return Ends(namespaces, (devices[0], devices[1]), control)


def main() -> None:
    """Run the process."""
    with suppress(OSError):  # users who are not root may not
        # A router does not share its processor with the hosts: one that is late looks like a
        # longer link to TCP. It takes a fifth of a core, of whichever is free.
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    try:
        ends = make_ends()
    except (OSError, AttributeError) as error:  # AttributeError: the system has no namespaces
        print(json.dumps({"error": f"it needs namespaces with TUN devices: {error}"}))
        return
    print(json.dumps({"namespaces": ends.namespaces, "control": ends.control}), flush=True)
    forwarder = Forwarder(ends.devices, Link(**json.loads(sys.argv[1])))
    forwarder.run(sys.stdin.fileno())
    print(json.dumps([pipe.count() for _, _, pipe in forwarder.ways]), flush=True)


if __name__ == "__main__":
    main()
