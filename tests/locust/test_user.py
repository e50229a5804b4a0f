"""What a WebSocket user can do, in scripts: importing Locust patches a process."""

from __future__ import annotations

import textwrap

from tests.support.locusts import needs_locust
from tests.support.run import run_script

HEAD = """
import locust
import json, time
from functools import partial
import gevent
from locust import SequentialTaskSet, TaskSet, constant, constant_pacing, task
from locust.exception import StopUser
import greenws
from greenws import Backoff, errors
from greenws.locust import UserConnection, WebSocketUser
from greenws.testing import EchoServer, close_with, in_turn, reject, drop, echo, respond
from tests.support.locust_run import LoadTest

"""


def run(source: str) -> None:
    assert run_script(HEAD + textwrap.dedent(source) + "\nprint('done')\n").endswith("done\n")


@needs_locust
def test_rows_have_types_times_lengths_and_context() -> None:
    run("""
        class Plain(WebSocketUser):
            wait_time = constant(3600)

            def context(self):
                return {"tenant": 7}

            @task
            def all(self):
                connection = self.connect("/a?secret=1")
                assert connection is self.connection and connection.is_open
                assert connection.url.endswith("/a?secret=1")
                self.send("h\\u00e9llo", name="greeting")
                assert self.receive(5) == "h\\u00e9llo"
                self.send(b"bytes")
                assert self.receive(5, name="answer") == b"bytes"
                assert self.request([1, 2], name="list", timeout=5).json == [1, 2]
                self.record("tick", since=time.time() - 0.5, length=12)
                self.record("tock")
                self.record("early", since=time.time() + 60)
                self.record("bad", exception="too late")
                self.close()
                assert not connection.is_open
                assert repr(connection) == "<UserConnection /a closed>"

        with EchoServer() as server, LoadTest(Plain, host=server.url) as test:
            test.wait_rows("WSC")
            columns = ("request_type", "name", "response_length")
            found = [tuple(row[column] for column in columns) for row in test.rows]
            assert found == [
                ("WS", "/a", 0), ("WSS", "greeting", 6), ("WSS", "/a", 5), ("WSR", "answer", 5),
                ("WSQ", "list", 6), ("WSR", "tick", 12), ("WSR", "tock", 0), ("WSR", "early", 0),
                ("WSR", "bad", 0), ("WSC", "/a", 0),
            ]
            for row in test.rows:
                assert type(row["response_time"]) is float and row["response_time"] >= 0, row
                assert row["context"] == {"tenant": 7}
                assert abs(row["start_time"] - time.time()) < 60
                assert row["exception"] == ("too late" if row["name"] == "bad" else None)
            times = {row["name"]: row["response_time"] for row in test.of("WSR")}
            assert 500 <= times["tick"] < 60_000 and times["tock"] == times["early"] == 0.0
            assert test.of("WSQ")[0]["response"].text == "[1, 2]"
            assert server.connections[0].close_code == 1000
            assert not test.errors
    """)


@needs_locust
def test_host_and_path_make_the_url() -> None:
    run("""
        from locust.env import Environment
        from locust.exception import StopTest

        class Plain(WebSocketUser):
            pass

        user = Plain(Environment(user_classes=[Plain]))
        for host, path, url in [
            ("http://a", "", "ws://a"), ("https://a/", "/x", "wss://a/x"),
            ("ws://a/base/", "x", "ws://a/base/x"), ("WSS://a", "?q=1", "wss://a?q=1"),
            (None, "ws://b/x", "ws://b/x"), ("ws://a", "https://b", "wss://b"),
            ("ws://a", "/to?u=http://c", "ws://a/to?u=http://c"),
        ]:
            user.host = host
            assert user._build_url(path) == url, (host, path)
        for host in (None, "", "a:80", "ftp://a"):
            user.host = host
            try:
                user.connect("/x")
            except StopTest as error:
                assert "--host" in str(error)
            else:
                raise AssertionError(host)
        try:
            user.send("x")
        except RuntimeError as error:
            assert "connect()" in str(error)
    """)


@needs_locust
def test_replies_are_matched_and_judged() -> None:
    run("""
        def serve(connection):
            for message in connection:
                if message == "silence":
                    continue
                connection.send("push")
                connection.send(message)

        class Asking(WebSocketUser):
            wait_time = constant(3600)
            pushes = 0

            def on_text(self, event):
                assert event.text in ("push", "mine")
                self.pushes += 1

            def reply_key(self, event):
                return event.json["id"] if event.text.startswith("{") else None

            @task
            def all(self):
                self.connect("/")
                ask = partial(self.request, catch_response=True)
                is_mine = lambda event: event.text == "mine"
                assert self.request("mine", match=is_mine, timeout=5).text == "mine"
                assert self.request({"id": 4}, key=4, timeout=5).json == {"id": 4}
                with ask("mine", match=is_mine, name="bad") as answer:
                    assert answer.text == "mine" and answer.data == b"mine"
                    answer.failure("no price")
                with ask("mine", match=is_mine, name="error") as answer:
                    answer.failure(KeyError("price"))
                with ask("mine", match=is_mine, name="good") as answer:
                    answer.success()
                try:
                    with self.request("[1]", match=lambda e: e.text == "[1]", name="bug",
                                      catch_response=True) as answer:
                        assert answer.json == [2]
                except AssertionError:
                    pass
                with ask("silence", name="late", timeout=0.01) as answer:
                    assert isinstance(answer.error, TimeoutError) and answer.event is None
                with ask("silence", name="fine", timeout=0.01) as answer:
                    answer.success()
                try:
                    with self.request("silence", name="late2", timeout=0.01,
                                      catch_response=True) as answer:
                        answer.json
                except TimeoutError:
                    pass
                try:
                    self.request("mine", match=lambda event: event.json["no"], name="match")
                except ValueError:
                    pass
                for wrong in ({"match": 5}, {"key": 1, "match": is_mine}):
                    try:
                        self.request("x", **wrong)
                    except TypeError:
                        pass
                self.request("silence", name="last", timeout=0.01)
                raise SystemError("not reached")

        with EchoServer(serve) as server, LoadTest(Asking, host=server.url) as test:
            test.wait(lambda: any(row["name"] == "last" for row in test.rows))
            found = [(row["name"], repr(row["exception"])) for row in test.of("WSQ")]
            assert found == [
                ("/", "None"), ("/", "None"), ("bad", "CatchResponseError('no price')"),
                ("error", "KeyError('price')"), ("good", "None"), ("bug", "AssertionError()"),
                ("late", "TimeoutError('no reply within 0.01 s')"), ("fine", "None"),
                ("late2", "TimeoutError('no reply within 0.01 s')"),
                ("match", found[9][1]), ("last", "TimeoutError('no reply within 0.01 s')"),
            ], found
            assert "JSON" in found[9][1]
            assert not test.errors, test.errors
    """)


@needs_locust
def test_binary_replies_are_judged() -> None:
    run("""
        class Asking(WebSocketUser):
            wait_time = constant(3600)

            @task
            def all(self):
                with self.connect("/"):
                    with self.request(b"[1]", catch_response=True) as answer:
                        assert answer.json == [1] and answer.data == b"[1]"
                        try:
                            answer.text
                        except ValueError:
                            pass
                with self.connect("/t"):
                    with self.request(memoryview(b"abc"), catch_response=True) as answer:
                        pass
                    self.send(memoryview(bytes(8)).cast("I"), name="view")
                raise StopUser()

        with EchoServer() as server, LoadTest(Asking, host=server.url) as test:
            test.wait_end()
            assert test.kinds == ["WS", "WSQ", "WSC", "WS", "WSQ", "WSS", "WSC"]
            assert test.of("WSS")[0]["response_length"] == 8
            assert not test.errors, test.errors
    """)


@needs_locust
def test_pushes_go_to_handlers_of_the_user_or_of_a_connection() -> None:
    run("""
        def serve(connection):
            connection.send(json.dumps({"sent_at": time.time() - 1}))
            connection.send(b"binary")
            for message in connection:
                connection.send(message)

        class Feed(WebSocketUser):
            wait_time = constant(3600)
            stock = None

            def on_text(self, event):
                self.record("tick", since=event.json["sent_at"], length=len(event.text))

            def on_binary(self, event):
                self.record("blob", length=len(event.data))

            @task
            def all(self):
                self.connect("/a")
                self.other = []
                other = self.connect("/b", on_text=self.other.append, on_binary=self.other.append)
                for connection in (self.connection, other):
                    assert connection.name == ("/b" if connection is other else "/a")
                    connection.request("x", match=lambda e: e.name == "text" and e.text == "x")
                other.close()
                assert self.connection.name == "/a" and self.connection.is_open
                assert len(self.other) == 2
                raise StopUser()

        with EchoServer(serve) as server, LoadTest(Feed, host=server.url) as test:
            test.wait_end()
            assert sorted(row["name"] for row in test.of("WSR")) == ["blob", "tick"]
            times = {row["name"]: row["response_time"] for row in test.rows}
            assert 1000 <= times["tick"] < 60_000
            assert [c.close_code for c in server.connections] == [1001, 1000]
            assert not test.errors, test.errors
    """)


@needs_locust
def test_error_of_a_handler_is_told_and_the_user_goes_on() -> None:
    run("""
        import logging
        logging.disable()

        class Feed(WebSocketUser):
            wait_time = constant(0.001)
            asked = 0

            def on_start(self):
                self.connect("/")

            def on_binary(self, event):
                if event.data == b"bug":
                    raise KeyError("bug")
                if event.data == b"end":
                    raise StopUser()
                raise locust.exception.RescheduleTask()

            @task
            def all(self):
                self.asked += 1
                if self.asked == 1:
                    self.send(b"bug")
                    self.send(b"steer")
                if self.asked == 3:
                    self.send(b"end")
                self.request("x", match=lambda event: event.name == "text", timeout=5)

        with EchoServer() as server, LoadTest(Feed, host=server.url) as test:
            test.wait_end()
            assert [repr(error) for error in test.errors] == ["KeyError('bug')"]
            assert len(test.of("WSQ")) >= 2
            assert [c.close_code for c in server.connections] == [1001]

        with EchoServer() as server:
            test = LoadTest(Feed, host=server.url)
            test.environment.catch_exceptions = False
            with test:
                test.wait_end()
            assert [repr(error) for error in test.errors] == ["KeyError('bug')"] * 2
            assert [c.close_code for c in server.connections] == [1001]
    """)


@needs_locust
def test_end_of_a_connection_is_one_row_whoever_waits() -> None:
    run("""
        class Waiting(WebSocketUser):
            wait_time = constant(0)
            after = []

            @task
            def all(self):
                if self.connection is None:
                    self.connect("/")
                    self.send("a")
                    self.receive(5)
                    try:
                        self.request("b", match=lambda event: False, timeout=5)
                    except errors.WebSocketClosed as error:
                        self.after.append((error.code, error.reason))
                        assert not self.connection.is_open
                        raise
                self.after.append("again")
                self.send("c")

        with EchoServer(close_with(4001, "away", after=2)) as server:
            with LoadTest(Waiting, host=server.url) as test:
                test.wait_end()
            assert Waiting.after == [(4001, "away"), "again"]
            (row,) = test.of("WSC")
            assert (row["exception"].code, row["exception"].reason) == (4001, "away")
            assert test.kinds == ["WS", "WSS", "WSC"]
            assert not test.errors, test.errors

        class Sessions(WebSocketUser):
            wait_time = constant(0)
            normal_codes = {4001}

            @task
            def session(self):
                with self.connect("/") as connection:
                    for _ in range(5):
                        connection.request("x", timeout=5)

        with EchoServer(close_with(4001, "away", after=1)) as server:
            with LoadTest(Sessions, host=server.url) as test:
                test.wait_rows("WSC", 3)
                assert test.runner.user_count == 1
            assert all(row["exception"] is None for row in test.of("WSC"))
            assert not test.errors, test.errors
    """)


@needs_locust
def test_receive_tells_its_end_and_its_time_limit() -> None:
    run("""
        class Receiving(WebSocketUser):
            wait_time = constant(3600)
            seen = []

            @task
            def all(self):
                self.connect("/")
                for keywords in ({}, {"name": "push"}):
                    try:
                        self.receive(0.001, **keywords)
                    except TimeoutError as error:
                        self.seen.append(isinstance(error, locust.exception.RescheduleTask))
                self.send("go")
                assert self.receive() == "go"
                try:
                    self.receive()
                except errors.WebSocketClosed as error:
                    self.seen.append(error.code)
                self.receive()

        with EchoServer(close_with(4001, after=1)) as server:
            with LoadTest(Receiving, host=server.url) as test:
                test.wait_end()
            assert Receiving.seen == [False, True, 4001]
            assert test.kinds == ["WS", "WSR", "WSS", "WSC"]
            assert isinstance(test.of("WSR")[0]["exception"], TimeoutError)
            assert not test.errors, test.errors
    """)


@needs_locust
def test_failed_opening_is_a_row_and_ends_on_start_or_the_task() -> None:
    run("""
        class Starting(WebSocketUser):
            stopped = 0

            def on_start(self):
                self.connect("/", name="login")

            def on_stop(self):
                Starting.stopped += 1

            @task
            def never(self):
                raise SystemError

        class Trying(WebSocketUser):
            wait_time = constant(0.001)

            @task
            def all(self):
                self.connect("/")

        class Deciding(WebSocketUser):
            wait_time = constant(3600)

            @task
            def all(self):
                try:
                    self.connect("/")
                except errors.Rejected as error:
                    assert error.response.status_code == 403
                    raise StopUser()

        with EchoServer(opening=reject(403)) as server:
            with LoadTest(Starting, host=server.url) as test:
                test.wait_end()
            assert test.kinds == ["WS"] and Starting.stopped == 1
            assert isinstance(test.rows[0]["exception"], errors.Rejected)
            assert not test.errors, test.errors
            with LoadTest(Trying, host=server.url) as test:
                test.wait_rows("WS", 3)
            assert not test.errors, test.errors
            with LoadTest(Deciding, host=server.url) as test:
                test.wait_end()
            assert test.kinds == ["WS"]
            assert not test.errors, test.errors
    """)


@needs_locust
def test_connection_is_opened_again_if_asked_for() -> None:
    run("""
        class Again(WebSocketUser):
            wait_time = constant(0)
            reconnect = Backoff(min_wait=0.01, max_wait=0.01, max_tries=3, reset_after=0)
            again = 0

            def on_start(self):
                self.connect("/")

            def on_reconnect(self, connection):
                assert connection is self.connection
                Again.again += 1
                connection.send("subscribe", name="subscribe")

            @task
            def all(self):
                self.request("x", match=lambda event: event.text == "x", timeout=5)

        script = in_turn(close_with(4001, after=2), echo, close_with(4002, after=2), echo)
        with EchoServer(script) as server:
            server.opening = in_turn(greenws.testing.accept, reject(503), greenws.testing.accept)
            with LoadTest(Again, host=server.url) as test:
                test.wait(lambda: test.of("WSQ") and Again.again == 2)
                test.wait_rows("WSQ", len(test.of("WSQ")) + 3)
                assert test.runner.user_count == 1
            codes = [row["exception"] and row["exception"].code for row in test.of("WSC")]
            assert codes == [4001, 4002, None], codes
            assert [bool(row["exception"]) for row in test.of("WS")] == [False, True, False, False]
            assert not test.errors, test.errors

        class Receiving(WebSocketUser):
            wait_time = constant(3600)
            reconnect = Backoff(min_wait=0.01, max_wait=0.01)

            @task
            def all(self):
                self.connect("/")
                assert self.receive(5) == "second"
                raise StopUser()

        def second(connection):
            connection.send("second")
            connection.receive()

        with EchoServer(in_turn(drop(), second)) as server:
            with LoadTest(Receiving, host=server.url) as test:
                test.wait_end()
            assert not test.errors, test.errors

        class GivesUp(WebSocketUser):
            wait_time = constant(0)
            reconnect = Backoff(min_wait=0.01, max_wait=0.01, max_tries=2)

            @task
            def all(self):
                if self.connection is None:
                    self.connect("/")
                self.send("x")

        class Refuses(GivesUp):
            reconnect = Backoff(min_wait=0.01, retry=lambda outcome: outcome.name != "disconnected")

        class StopsMeanwhile(GivesUp):
            reconnect = True

        class AtOnce(GivesUp):
            reconnect = Backoff(max_tries=1)

        for user_class in (GivesUp, Refuses, AtOnce):
            with EchoServer(drop(after=1)) as server:
                server.opening = in_turn(greenws.testing.accept, reject(503))
                with LoadTest(user_class, host=server.url) as test:
                    test.wait_end()
                assert test.kinds.count("WSC") == 1
                assert not test.errors, test.errors
        with EchoServer(drop(after=1)) as server:
            with LoadTest(StopsMeanwhile, host=server.url) as test:
                test.wait_rows("WSC")
            assert test.kinds.count("WSC") == 1
            assert not test.errors, test.errors
    """)


@needs_locust
def test_close_may_be_called_anywhere_and_is_told_its_mistakes() -> None:
    run("""
        class Closing(WebSocketUser):
            wait_time = constant(3600)

            def on_text(self, event):
                self.close(4000, "from a handler")
                try:
                    self.send("late")
                except errors.WebSocketClosing:
                    self.refused = True
                    raise

            @task
            def all(self):
                self.connect("/")
                for code in (5, 1006):
                    try:
                        self.close(code)
                    except ValueError:
                        pass
                assert self.connection.is_open
                self.send("go")
                try:
                    self.request("x", match=lambda event: False)
                except errors.WebSocketClosed as error:
                    assert error.sent_code == 4000
                assert self.refused
                self.close()
                try:
                    with self.connect("/error") as connection:
                        raise KeyError("bug")
                except KeyError:
                    pass
                try:
                    with self.connect("/steer") as connection:
                        raise locust.exception.RescheduleTask()
                except locust.exception.RescheduleTask:
                    pass
                with self.connect("/killed") as connection:
                    connection.send(b"ready", name="ready")
                    gevent.sleep(3600)

        with EchoServer() as server:
            with LoadTest(Closing, host=server.url) as test:
                test.wait(lambda: any(row["name"] == "ready" for row in test.rows))
            assert [c.close_code for c in server.connections] == [4000, 1011, 1000, 1001]
            assert [row["exception"] for row in test.of("WSC")] == [None] * 4
            assert not test.errors, test.errors
    """)


@needs_locust
def test_reply_to_a_request_that_was_given_up_is_no_push() -> None:
    run("""
        def serve(connection):
            late = []
            for message in connection:
                if message == "now":
                    for each in late:
                        connection.send(each)
                    connection.send("push")
                    connection.send(b"1")
                else:
                    late.append(message)

        class Late(WebSocketUser):
            wait_time = constant(3600)
            seen = []

            def reply_key(self, event):
                return json.loads(event.text)["id"]

            def on_text(self, event):
                self.seen.append(event.text)
                if event.text == "push" and len(self.seen) == 1:
                    self.send("go on", name="go on")

            @task
            def all(self):
                self.connect("/")
                is_mine = lambda event: event.text == "mine"
                for keywords in ({"match": is_mine}, {"key": 5}, {}):
                    message = "mine" if "match" in keywords else '{"id": 5}'
                    try:
                        self.request(message, timeout=0.01, **keywords)
                    except TimeoutError:
                        pass
                with gevent.Timeout(0.01, False):
                    self.request("mine", match=is_mine)
                self.send("now")
                self.receive(5)
                self.seen.append("end")
                self.request("never", match=lambda event: event.text == "never")

        with EchoServer(serve) as server:
            with LoadTest(Late, host=server.url) as test:
                server.wait_for(lambda: "never" in server.messages)
            # The second '{"id": 5}' is that of a request that any message could have answered.
            assert Late.seen == ['{"id": 5}', "push", "end"], Late.seen
            assert not test.errors, test.errors
    """)


@needs_locust
def test_what_comes_after_close_goes_to_no_handler() -> None:
    run("""
        def push(connection):
            for message in connection:  # a close frame ends it
                for _ in range(20):
                    connection.send("push")

        class Pushed(WebSocketUser):
            wait_time = constant(3600)
            is_closing = False

            def on_text(self, event):
                if self.is_closing:
                    raise KeyError("late")

            @task
            def all(self):
                self.connect("/")
                self.send("go")
                self.is_closing = True
                self.close()  # the pushes come before the answer to it
                raise StopUser()

        with EchoServer(push) as server:
            with LoadTest(Pushed, host=server.url) as test:
                test.wait_end()
            assert not test.errors, test.errors
            assert [row["exception"] for row in test.of("WSC")] == [None]
    """)


@needs_locust
def test_task_sets_and_hooks_work_as_ever() -> None:
    run("""
        class Steps(SequentialTaskSet):
            def on_start(self):
                self.user.seen.append("start")
                self.user.connect("/")

            @task
            def first(self):
                self.user.seen.append("first")
                self.user.request("x", timeout=5)

            @task
            def second(self):
                self.user.seen.append("second")
                self.interrupt()

            def on_stop(self):
                self.user.close()
                self.user.send("to nobody")

        class Nested(WebSocketUser):
            wait_time = constant_pacing(0.001)
            tasks = [Steps]
            seen = []

            def on_stop(self):
                self.seen.append("stop")
                self.send("bye", name="bye") if self.connection.is_open else None
                self.connection.send("after the end")
                self.connection.send("and once more")

        import logging
        logging.disable()
        with EchoServer() as server:
            with LoadTest(Nested, host=server.url) as test:
                test.wait_rows("WSC", 2)
            assert Nested.seen[:4] == ["start", "first", "second", "start"]
            assert Nested.seen[-1] == "stop"
            assert not test.errors, test.errors
            assert not any(row["exception"] for row in test.rows)
    """)


@needs_locust
def test_options_are_attributes_or_keywords_and_are_checked() -> None:
    run("""
        from locust.env import Environment

        class Options(WebSocketUser):
            wait_time = constant(3600)
            protocols = ["v1", "v2"]
            compress = True
            max_queue = 4
            ping_rate = 7
            token = "secret"

            def headers(self):
                return {"Authorization": f"Bearer {self.token}"}

            @task
            def all(self):
                self.token = "later"
                self.connect("/a")
                self.connect("/b", protocols=["v2"], headers={"X-Own": "1"}, compress=False)
                raise StopUser()

        with EchoServer(subprotocols=["v1", "v2"]) as server:
            with LoadTest(Options, host=server.url) as test:
                test.wait_end()
            first, second = server.connections
            assert first.request.get("authorization") == "Bearer later"
            assert (first.subprotocol, second.subprotocol) == ("v1", "v2")
            assert (first.is_compressed, second.is_compressed) == (True, False)
            assert second.request.get("authorization") is None
            assert not test.errors, test.errors

        for name, meant in [
            ("on_message", "on_text or on_binary"), ("on_texts", "on_text"), ("header", "headers"),
            ("timeout", "open_timeout"), ("poll", "poll"), ("reconect", "reconnect"),
            ("on_recv", "on_text or on_binary"), ("subprotocols", "protocols"),
        ]:
            try:
                type("Wrong", (WebSocketUser,), {name: 5})
            except TypeError as error:
                assert meant in str(error), (name, str(error))
            else:
                raise AssertionError(name)
        type("Fine", (WebSocketUser,), {"on_quote": 5, "timeouts": lambda self: 1, "_timeout": 1,
                                        "agents": 5, "weight": 3, "proxy": lambda self: 1})
        for name, value in [("compress", "yes"), ("reconnect", 5), ("max_queue", None),
                            ("session_class", 5), ("ping_rate", "1")]:
            wrong = type("Wrong", (WebSocketUser,), {name: value})
            try:
                wrong(Environment(user_classes=[wrong]))
            except (TypeError, ValueError) as error:
                assert name in str(error), str(error)
            else:
                raise AssertionError(name)
        assert type("On", (WebSocketUser,), {"reconnect": True})(Environment())._backoff
    """)


@needs_locust
def test_user_adds_no_greenlet_to_that_of_its_connection() -> None:
    run("""
        import gc
        from gevent import Greenlet

        def count():
            gc.collect()
            return sum(isinstance(each, Greenlet) and not each.dead for each in gc.get_objects())

        class Idle(WebSocketUser):
            wait_time = constant(3600)
            connections = []

            def on_start(self):
                self.connect("/")

            @task
            def idle(self):
                self.request("x", timeout=5)

        with EchoServer() as server:
            before = count()
            connections = [greenws.connect(server.url) for _ in range(50)]
            server.wait_connections(50)
            for connection in connections:  # from its first request on, it has a greenlet
                connection.request("x", match=lambda event: True, timeout=5)
            of_connections = count() - before  # those of the server, too
            for connection in connections:
                connection.close()
            del connection, connections
            server.wait_idle()
            before = count()
            with LoadTest(Idle, host=server.url, count=50) as test:
                test.wait_rows("WSQ", 50)
                extra = count() - before - of_connections
                assert extra - 50 < 10, extra  # one for each user, and a few of Locust's
    """)


@needs_locust
def test_single_user_runs_without_a_runner() -> None:
    run("""
        class Alone(WebSocketUser):
            @task
            def once(self):
                self.connect("/")
                self.request("x", timeout=5)
                raise StopUser()

        from locust.env import Environment
        with EchoServer() as server:
            environment = Environment(user_classes=[Alone], host=server.url)
            rows = []
            environment.events.request.add_listener(lambda **row: rows.append(row["request_type"]))
            Alone.host = server.url
            user = Alone(environment)
            user.run()
            assert rows == ["WS", "WSQ", "WSC"]
            assert "on_start" not in vars(user)
            user.take_failure(StopUser())  # there is no greenlet to end
    """)


def test_importing_greenws_does_not_import_locust() -> None:
    run_script("""
        import sys
        import greenws, greenws.cli, greenws.testing
        assert not any(name.partition(".")[0] == "locust" for name in sys.modules)
    """)


def test_without_locust_the_error_says_what_to_install() -> None:
    output = run_script("""
        import sys
        sys.modules["locust"] = None
        try:
            import greenws.locust
        except ImportError as error:
            print(error)
    """)
    assert "pip install 'greenws[locust]'" in output
