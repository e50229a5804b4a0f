"""The DevTools of a real Chromium: JSON-RPC."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.protocols_on_top.programs import Server, load_example, run_example, run_server
from tests.support.programs import CHROMIUM_FLAGS, find
from tests.support.waiting import PATIENCE

FLAGS = (*CHROMIUM_FLAGS, "--disable-dev-shm-usage", "--remote-debugging-port=0")

PAGE = "data:text/html,<title>hello</title><body style='background: %2300ff00'>"


def read_port(profile: Path) -> str | None:
    """Read where Chromium listens; None: it does not yet."""
    try:
        lines = (profile / "DevToolsActivePort").read_text().splitlines()
    except FileNotFoundError:
        return None
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = find("chromium")
    folder = tmp_path_factory.mktemp("chromium")
    profile = folder / "profile"
    with run_server(folder, program, *FLAGS, f"--user-data-dir={profile}") as server:
        server.url = server.wait_start(lambda: read_port(profile))
        yield server
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="module")
def example(server: Server) -> ModuleType:
    return load_example("devtools")


@pytest.fixture
def browser(server: Server, example: ModuleType) -> Iterator[Any]:
    browser = example.DevTools(server.url, proxies={}).start()
    assert browser.wait_ready(PATIENCE)
    yield browser
    browser.close()
    browser.join(PATIENCE)


def test_example_takes_a_picture(server: Server, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    (version,) = run_example("devtools", server.url, PAGE, picture)
    assert "Chrome" in version
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 100 and height > 100


def test_page_runs_code_and_its_events_are_expected(browser: Any) -> None:
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.call("Runtime.enable", session)
    called = [browser.expect("Runtime.consoleAPICalled", session) for _ in range(2)]
    result = browser.call("Runtime.evaluate", session, expression="console.log('hi'), 6 * 7")
    assert result["result"]["value"] == 42
    for each in called:
        assert each.get(timeout=PATIENCE)["args"] == [{"type": "string", "value": "hi"}]
    browser.call("Target.closeTarget", targetId=target)


def test_faulty_command_and_page_raise_the_words_of_the_browser(
    browser: Any, example: ModuleType
) -> None:
    with pytest.raises(example.DevToolsError, match=r"No\.such: .*wasn't found"):
        browser.call("No.such")
    with pytest.raises(example.DevToolsError, match=r"1/: net::ERR"):
        example.take_picture(browser, "http://127.0.0.1:1/")


def test_end_of_the_connection_ends_what_waits(browser: Any, example: ModuleType) -> None:
    never = browser.expect("Page.loadEventFired")
    browser.close()
    with pytest.raises(example.DevToolsError, match="has gone"):
        never.get(timeout=PATIENCE)
