"""Draws the pictures of the explanations: ``python docs/pictures/draw.py`` writes them anew.

A picture has a ground of its own, and colours for dark pages, so it can be read on any page.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

HERE = Path(__file__).parent

STYLE = """
text { font: 13px "DejaVu Sans", Verdana, sans-serif; fill: #1f2a24 }
.name { font-weight: bold }
.small { font-size: 11px; fill: #4d5a53 }
.ground { fill: #fbfdfc; stroke: #d5ddd8 }
.box { fill: #e6f2eb; stroke: #1a7f4b; stroke-width: 1.2 }
.quiet { fill: #eef0f3; stroke: #7b8794; stroke-width: 1.2 }
.end { fill: #f7e9e4; stroke: #a5532f; stroke-width: 1.2 }
.line { fill: none; stroke: #4d5a53; stroke-width: 1.3 }
.tip { fill: #4d5a53 }
@media (prefers-color-scheme: dark) {
text { fill: #e4ebe7 }
.small { fill: #aeb9b3 }
.ground { fill: #18201c; stroke: #33403a }
.box { fill: #1d3a2a; stroke: #5fd097 }
.quiet { fill: #262c33; stroke: #8a95a1 }
.end { fill: #40281f; stroke: #d98a66 }
.line { stroke: #aeb9b3 }
.tip { fill: #aeb9b3 }
}
"""


class Picture:
    """Boxes, lines and words on a ground."""

    def __init__(self, name: str, title: str, width: int, height: int) -> None:
        self.path = HERE / f"{name}.svg"
        self._title = title
        self._size = (width, height)
        self._parts: list[str] = []

    def box(
        self, x: int, y: int, width: int, height: int, name: str, *lines: str, kind: str = "box"
    ) -> None:
        """A box with a name and lines of small words, all in its middle."""
        self._parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        )
        middle = x + width // 2
        top = y + (height - 15 * len(lines)) // 2 + 5
        self.words(middle, top, name, kind="name")
        for number, line in enumerate(lines, 1):
            self.words(middle, top + 16 * number, line, kind="small")

    def words(self, x: int, y: int, text: str, kind: str = "", anchor: str = "middle") -> None:
        self._parts.append(
            f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def arrow(self, *points: tuple[int, int]) -> None:
        """A line through points, with a tip at its end."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self._parts.append(f'<polyline class="line" points="{path}" marker-end="url(#tip)"/>')

    def render(self) -> str:
        width, height = self._size
        parts = "\n".join(self._parts)
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" \
viewBox="0 0 {width} {height}" role="img">
<title>{escape(self._title)}</title>
<style>{STYLE}</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>
<rect class="ground" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>
{parts}
</svg>
"""


def draw_rows() -> Picture:
    """The rows of the modules, as ``ROWS`` in ``tests/test_layers.py`` has them."""
    picture = Picture("rows", "The rows of greenws' modules", 760, 500)
    rows = [
        ("7", "greenws", "re-exports the public names", "quiet"),
        ("6", "cli/ · testing/ · locust/", "programs around it", "quiet"),
        ("5", "client · connection · group", "greenlets, handlers, calls, reconnecting", "box"),
        ("4", "websocket · endpoint · cookies", "what is sent and received, and when", "box"),
        ("3", "sessions/", "sockets, TLS, timers: the only row that may wait", "end"),
        ("2", "proxies/", "bytes of HTTP and SOCKS proxies", "box"),
        ("1", "protocol/", "bytes to events, events to bytes: no I/O, no clock", "box"),
        ("0", "events · options · errors · status · url", "values", "quiet"),
    ]
    for number, (row, name, what, kind) in enumerate(rows):
        y = 20 + 58 * number
        picture.words(34, y + 30, row, kind="name")
        picture.box(60, y, 430, 48, name, what, kind=kind)
    notes = [
        (0, 4, "what a user touches"),
        (4, 5, "the edge to the system"),
        (5, 8, "tested with strings of bytes"),
    ]
    for first, last, text in notes:
        top, bottom = 20 + 58 * first, 10 + 58 * last
        picture.arrow((510, top + 4), (510, bottom - 2))
        picture.words(524, (top + bottom) // 2 + 4, text, anchor="start")
    picture.words(524, 470, "imports go down only", kind="small", anchor="start")
    return picture


def draw_life() -> Picture:
    """The states of a session, as ``SESSION_STEPS`` in ``sessions/lifecycle.py`` has them."""
    picture = Picture("life", "The life of a connection", 820, 330)
    states = [
        ("DIALING", "DNS, proxy,", "TCP, TLS"),
        ("UPGRADING", "request and", "answer"),
        ("READY", "messages both", "ways"),
        ("CLOSING", "close frame is", "on its way"),
        ("LINGERING", "the server's", "last bytes"),
        ("ENDED", "nothing is", "open"),
    ]
    events = ["connecting", "connected", "ready, poll", "closing", "closed", "disconnected"]
    for number, (name, *lines) in enumerate(states):
        x = 20 + 132 * number
        picture.box(x, 86, 112, 66, name, *lines, kind="end" if name == "ENDED" else "box")
        if name != "ENDED":
            picture.arrow((x + 112, 119), (x + 130, 119))
        picture.words(x + 56, 176, events[number], kind="small")
    picture.words(20, 204, "the events of each step, in its order", kind="small", anchor="start")
    # A redirect, a rejection, and an end without a close frame.
    picture.arrow((190, 86), (190, 62), (90, 62), (90, 84))
    picture.words(140, 54, "redirect", kind="small")
    picture.arrow((225, 86), (225, 44), (596, 44), (596, 84))
    picture.words(330, 36, "rejection", kind="small")
    picture.arrow((340, 86), (340, 66), (736, 66), (736, 84))
    picture.words(480, 60, "lost, killed, too late", kind="small")
    picture.box(
        20,
        236,
        250,
        72,
        "FAILED",
        "the reason is noted, and told",
        "by the last event",
        kind="quiet",
    )
    picture.box(
        285, 236, 250, 72, "DROPPED", "the socket is closed", "by a call of yours", kind="quiet"
    )
    picture.box(
        550,
        236,
        250,
        72,
        "FORKED",
        "this process is a child;",
        "the parent's goes on",
        kind="quiet",
    )
    picture.words(410, 226, "from each state but ENDED, at any instant:", kind="small")
    return picture


def draw_hub() -> Picture:
    """What the sessions of one hub share: the parts of ``sessions/reactor.py``."""
    picture = Picture("hub", "What the sessions of a hub share", 760, 440)
    picture.words(380, 30, "one thread: gevent's hub and its loop", kind="name")
    sessions = ["a session", "a session", "another 10,000"]
    for number, name in enumerate(sessions):
        x = 40 + 235 * number
        picture.box(x, 48, 210, 76, name, "socket, greenlet, queue,", "deadlines: 12 KiB in all")
        picture.arrow((x + 105, 124), (x + 105, 156))
    picture.box(40, 158, 680, 40, "the reactor of the hub", kind="end")
    parts = [
        ("receive buffer", "768 KiB, lent to", "whoever reads"),
        ("rota", "8 ms a turn, then", "the next one's"),
        ("clock", "one timer for", "all deadlines"),
        ("turn", "frames leave when", "the turn ends"),
        ("crowd", "ready sessions run", "one after the other"),
        ("busy poll", "looks before it", "sleeps, if it pays"),
    ]
    for number, (name, *lines) in enumerate(parts):
        x = 40 + 235 * (number % 3)
        y = 222 + 92 * (number // 3)
        picture.box(x, y, 210, 76, name, *lines, kind="quiet")
    picture.words(
        380, 424, "shared by the process: SSL contexts, TLS sessions, spare events", kind="small"
    )
    return picture


def draw_turn() -> Picture:
    """What happens in a turn of the loop, in its order."""
    picture = Picture("turn", "A turn of the loop", 820, 230)
    steps = [
        ("wait", "until a descriptor", "or a timer is due", "quiet"),
        ("alarms", "pings, deadlines,", "back-offs", "box"),
        ("read", "ready sessions, one", "after the other", "box"),
        ("handle", "bytes to events,", "events to handlers", "end"),
        ("flush", "all that was queued,", "a call a connection", "box"),
    ]
    for number, (name, first, second, kind) in enumerate(steps):
        x = 20 + 158 * number
        picture.box(x, 60, 140, 72, name, first, second, kind=kind)
        if number < 4:
            picture.arrow((x + 140, 96), (x + 156, 96))
    picture.arrow((722, 132), (722, 176), (90, 176), (90, 134))
    picture.words(406, 170, "the next turn", kind="small")
    picture.arrow((564, 60), (564, 36), (406, 36), (406, 58))
    picture.words(486, 28, "while the turn has time: 8 ms for all sessions together", kind="small")
    picture.words(
        406, 212, "your code runs in the red step, and in greenlets of its own", kind="small"
    )
    return picture


def draw_all() -> list[Picture]:
    return [draw_rows(), draw_life(), draw_hub(), draw_turn()]


if __name__ == "__main__":
    for drawn in draw_all():
        drawn.path.write_text(drawn.render(), encoding="utf-8")
