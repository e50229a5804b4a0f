"""Have Chromium open a page, and take its picture: ``python devtools.py URL PAGE FILE``.

The URL is the one that ``chromium --headless --remote-debugging-port=0`` prints: ws://127.0.0.1...
"""

from __future__ import annotations

import sys
from base64 import b64decode
from itertools import count
from pathlib import Path
from typing import Any

from gevent.event import AsyncResult

import greenws


class DevToolsError(Exception):
    """The browser has refused a command, or has gone."""


class DevTools(greenws.Client):
    """The DevTools Protocol, JSON-RPC: commands with answers, and events of the pages."""

    max_size = 256 << 20  # bytes: a picture is one message

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._numbers = count(1)
        # What waits for an event, by the session and the name of that.
        self._expected: dict[tuple[str | None, str], list[AsyncResult[Any]]] = {}

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Return the result of a command to the browser, or to the page of a session."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        reply = self.request(command, key=number, timeout=60).json
        if "error" in reply:
            raise DevToolsError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def expect(self, name: str, session: str | None = None) -> AsyncResult[Any]:
        """Expect an event from now on: ``get(timeout=)`` waits for it, and returns its params."""
        result: AsyncResult[Any] = AsyncResult()
        self._expected.setdefault((session, name), []).append(result)
        return result

    def reply_key(self, event: greenws.events.AnyMessage) -> int | None:
        number: int | None = event.json.get("id")
        return number

    def on_text(self, event: greenws.events.Text) -> None:
        message = event.json
        for result in self._expected.pop((message.get("sessionId"), message.get("method")), ()):
            result.set(message["params"])

    def on_close(self, event: greenws.events.Disconnected) -> None:
        for results in self._expected.values():
            for result in results:
                result.set_exception(DevToolsError(f"the browser has gone: {event.reason}"))
        self._expected.clear()


def take_picture(browser: DevTools, page: str) -> bytes:
    """Return what a page looks like, as a PNG file."""
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    try:
        session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.call("Page.enable", session)
        loaded = browser.expect("Page.loadEventFired", session)
        failure = browser.call("Page.navigate", session, url=page).get("errorText")
        if failure:
            raise DevToolsError(f"{page}: {failure}")
        loaded.get(timeout=60)
        return b64decode(browser.call("Page.captureScreenshot", session)["data"])
    finally:
        browser.call("Target.closeTarget", targetId=target)


def main(url: str, page: str, file: str) -> None:
    browser = DevTools(url).start()
    if not browser.wait_ready(timeout=30):
        sys.exit("there is no browser")
    print(browser.call("Browser.getVersion")["product"])
    Path(file).write_bytes(take_picture(browser, page))
    browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
