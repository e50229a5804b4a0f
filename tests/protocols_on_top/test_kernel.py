"""The kernel channel of a real Jupyter server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gevent
import pytest

from tests.protocols_on_top.programs import (
    START,
    Server,
    load_example,
    run_example,
    run_server,
)
from tests.support.programs import find, find_ports
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE

TOKEN = "secret"


def count_kernels(url: str) -> int:
    """Ask the server how many kernels run; a negative number: it does not answer yet."""
    request = urllib.request.Request(
        f"{url}/api/kernels", headers={"Authorization": f"token {TOKEN}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return len(json.load(answer))
    except urllib.error.URLError:
        return -1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = find("jupyter-server")
    folder = tmp_path_factory.mktemp("jupyter")
    (port,) = find_ports(1)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": TOKEN,
    }
    command = [f"--{name}={value}" for name, value in options.items()]
    with run_server(folder, program, "--no-browser", *command) as server:
        server.url = f"http://127.0.0.1:{port}"
        server.wait_start(lambda: count_kernels(server.url) == 0)
        yield server


@pytest.fixture(scope="module")
def example(server: Server) -> ModuleType:
    return load_example("kernel")


@pytest.fixture(scope="module")
def kernel(server: Server, example: ModuleType) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        kernel = example.Kernel(server.url, TOKEN)
        yield kernel
        kernel.close()


def test_example_prints_what_the_code_prints_and_returns(server: Server) -> None:
    before = count_kernels(server.url)
    code = "for number in range(3): print(number)\nnumber * 21"
    assert run_example("kernel", server.url, TOKEN, code) == ["0", "1", "2", "42"]
    assert count_kernels(server.url) == before


def test_wrong_token_is_refused(kernel: Any, server: Server, example: ModuleType) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        example.Kernel(server.url, "another")
    caught.value.close()


def test_exception_is_raised_and_the_state_stays(kernel: Any, example: ModuleType) -> None:
    outputs = kernel.run("x = 41; print('before', flush=True); 1 / 0", timeout=PATIENCE)
    assert next(outputs) == "before\n"
    with pytest.raises(example.KernelError, match="division by zero") as caught:
        next(outputs)
    assert caught.value.args[0] == "ZeroDivisionError"
    assert list(kernel.run("x + 1", timeout=PATIENCE)) == ["42\n"]


def test_death_of_the_kernel_is_an_error(kernel: Any, example: ModuleType) -> None:
    with pytest.raises(example.KernelError, match="died"):
        list(kernel.run("import os; os._exit(1)", timeout=START))
    # The server has started it anew. What the new kernel says before the server listens is lost.
    with gevent.Timeout(START):
        while True:
            try:
                answer = list(kernel.run("'x' in globals()", timeout=1.0))
                break
            except TimeoutError:
                pass
    assert answer == ["False\n"]


def test_iteration_that_is_left_early_does_no_harm(kernel: Any) -> None:
    outputs = kernel.run("print(1, flush=True); print(2)", timeout=PATIENCE)
    assert next(outputs).startswith("1")
    outputs.close()
    assert list(kernel.run("3", timeout=PATIENCE)) == ["3\n"]


def test_hub_runs_while_the_kernel_works(kernel: Any, ticking: Ticker, tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n'gone'"
    run = gevent.spawn(lambda: list(kernel.run(code, timeout=PATIENCE)))
    ticking.wait(3)
    assert not run.ready()
    go.touch()
    assert run.get(timeout=PATIENCE) == ["'gone'\n"]
