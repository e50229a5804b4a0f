"""WebSocket URLs: their parts, international hosts, userinfo, joining."""

from __future__ import annotations

import base64
import subprocess
import sys
import traceback
from typing import Any

import lomond
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws import WebSocket
from greenws.url import DEFAULT_PORTS, encode_host, join_url, parse_url, redact_url


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "resource"),
    [
        ("ws://example.org", "ws", "example.org", 80, "/"),
        ("wss://example.org", "wss", "example.org", 443, "/"),
        ("WSS://Example.ORG/Path", "wss", "example.org", 443, "/Path"),
        ("ws://example.org:8080/a/b?c=d&e", "ws", "example.org", 8080, "/a/b?c=d&e"),
        ("ws://example.org?c=d", "ws", "example.org", 80, "/?c=d"),
        ("ws://example.org:/x", "ws", "example.org", 80, "/x"),
        ("ws://example.org/a#fragment", "ws", "example.org", 80, "/a"),
        ("ws://example.org/a?b#fragment?c", "ws", "example.org", 80, "/a?b"),
        ("ws://example.org/;p/a=b?c;d", "ws", "example.org", 80, "/;p/a=b?c;d"),
        ("ws://example.org/?a=b?c", "ws", "example.org", 80, "/?a=b?c"),
        ("ws://example.org.", "ws", "example.org.", 80, "/"),
        ("ws://under_score.example/", "ws", "under_score.example", 80, "/"),
        ("ws://127.0.0.1:1/", "ws", "127.0.0.1", 1, "/"),
        ("ws://[::1]:65535/", "ws", "::1", 65535, "/"),
        ("ws://[2001:DB8::1]/", "ws", "2001:db8::1", 80, "/"),
    ],
)
def test_url_is_split_into_its_parts(
    url: str, scheme: str, host: str, port: int, resource: str
) -> None:
    parsed = parse_url(url)
    assert (parsed.scheme, parsed.host, parsed.port) == (scheme, host, port)
    assert parsed.resource == resource
    assert parsed.is_secure is (scheme == "wss")
    assert parsed.userinfo is None


@pytest.mark.parametrize(
    "url",
    [
        "ws://example.org",
        "wss://example.org:8443/a?b=c",
        "ws://127.0.0.1:9000/?x",
        "ws://[::1]:80/",
    ],
)
def test_parts_are_those_of_lomond(url: str) -> None:
    ours, theirs = WebSocket(url), lomond.WebSocket(url, proxies={})
    for name in ("url", "scheme", "host", "port", "resource", "is_secure"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://example.org", "must begin with ws:// or wss://"),
        ("https://example.org", "must begin with ws:// or wss://"),
        ("example.org", "must begin with ws:// or wss://"),
        ("//example.org", "must begin with ws:// or wss://"),
        ("", "must begin with ws:// or wss://"),
        ("ws", "must begin with ws:// or wss://"),
        ("wsx://example.org", "must begin with ws:// or wss://"),
        ("ws://", "no host"),
        ("ws:///path", "no host"),
        ("ws://:80/", "no host"),
        ("ws://user@/", "no host"),
        ("ws:example.org", "no host"),
        ("ws://?q", "no host"),
        ("ws://example.org:port/", "invalid port"),
        ("ws://example.org:65536/", "invalid port"),
        ("ws://example.org:0/", "invalid port"),
        ("ws://example.org:-1/", "invalid port"),
        ("ws://example.org:+80/", "invalid port"),
        ("ws://example.org:0x50/", "invalid port"),
        ("ws://example.org:\uff18\uff10/", "invalid port"),
        ("ws://exam ple.org/", "spaces or control characters"),
        ("ws://example.org/a b", "spaces or control characters"),
        (" ws://example.org/", "spaces or control characters"),
        ("ws://example.org/\r\nX: y", "spaces or control characters"),
        ("ws://example.org/\0", "spaces or control characters"),
        ("ws://example.org\n", "spaces or control characters"),
        ("ws://ex%61mple.org/", "invalid host"),
        ("ws://exam\\ple.org/", "invalid host"),
        ("ws://<example>/", "invalid host"),
        ("ws://a\xa0b/", "invalid host"),  # IDNA turns this character into a space
        ("ws://a\uff1cb/", "invalid host"),  # IDNA turns this one into "<"
        ("ws://a..b/", "invalid host"),
        ("ws://.a/", "invalid host"),
        ("ws://./", "invalid host"),
        ("ws://" + "a" * 64 + ".org/", "invalid host"),
        ("ws://" + "ü" * 64 + ".org/", "invalid host"),
        ("ws://[::1/", "malformed"),
        ("ws://::1]/", "malformed"),
        ("ws://[fe80::1%a b]/", "spaces or control characters"),
        ("ws://[fe80::1%ü]/", "invalid host"),
        ("ws://[fe80::1%]/", "invalid host|malformed"),
        ("ws://[1.2.3.4]/", "invalid host|malformed"),
        ("ws://[name]/", "invalid host|malformed"),
        ("ws://[a:b]/", "invalid host|malformed"),
        ("ws://[v1.a:b]/", "invalid host|malformed"),
        ("ws://[::1]x:80/", "invalid host|malformed"),
        ("ws://x[::1]/", "invalid host|malformed"),
        ("ws://[::1][::2]/", "invalid host|malformed|invalid port"),
        ("ws://a:b:c/", "invalid port"),
    ],
)
def test_fault_is_named_by_the_constructor(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"url (has|must|is).*({fault})|url.*({fault})"):
        WebSocket(url)


@pytest.mark.parametrize("url", [b"ws://example.org", None, 5])
def test_url_of_another_type_is_a_type_error(url: Any) -> None:
    with pytest.raises(TypeError, match="url must be str"):
        WebSocket(url)


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/grün?ä=ö", "/gr%C3%BCn?%C3%A4=%C3%B6"),
        ("/%41%zz%", "/%41%25zz%25"),
        ("/a%2Fb?c%26d", "/a%2Fb?c%26d"),
        ('/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D"),
        ("/[x]?y[0]=1", "/%5Bx%5D?y%5B0%5D=1"),
        ("/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
    ],
)
def test_resource_is_percent_encoded(path: str, resource: str) -> None:
    assert parse_url("ws://example.org" + path).resource == resource


@given(st.text(max_size=60))
def test_any_path_makes_a_resource_or_a_value_error(path: str) -> None:
    try:
        resource = parse_url("ws://example.org/" + path).resource
    except ValueError:
        return
    assert resource.isascii()
    assert resource.isprintable()
    assert " " not in resource


@given(st.text(max_size=60))
def test_any_text_makes_a_url_or_a_value_error(text: str) -> None:
    for url in (text, "ws://" + text, "ws://[" + text + "]/", "wss://u:p@" + text):
        try:
            parsed = parse_url(url)
        except ValueError:
            continue
        parsed.host_header.encode("ascii")
        assert parsed.redact().isprintable()
        again = parse_url(parsed.redact())
        assert (again.port, again.resource) == (parsed.port, parsed.resource)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("ws://example.org", "example.org"),
        ("ws://example.org:80", "example.org"),
        ("wss://example.org:443", "example.org"),
        ("ws://example.org:443", "example.org:443"),
        ("wss://example.org:80", "example.org:80"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:9000/", "[::1]:9000"),
        ("ws://[fe80::1%eth0]:9000/", "[fe80::1]:9000"),
        ("ws://bücher.example", "xn--bcher-kva.example"),
        ("ws://user:password@example.org/", "example.org"),
    ],
)
def test_host_header(url: str, header: str) -> None:
    assert parse_url(url).host_header == header


@pytest.mark.parametrize("zone", ["%eth0", "%25eth0"])
def test_zone_of_an_ipv6_address_is_kept(zone: str) -> None:
    assert parse_url(f"ws://[FE80::1{zone}]/").host == "fe80::1%eth0"


def test_international_host_is_encoded() -> None:
    assert parse_url("ws://BÜCHER.example/").host == "xn--bcher-kva.example"
    assert encode_host("BÜCHER.example") == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("host", "encoded"),
    [
        # The four characters that IDNA 2003 made something else of (UTS 46 section 2).
        ("fa\u00df.example", "xn--fa-hia.example"),
        ("FA\u1e9e.example", "xn--fa-hia.example"),
        ("\u03b2\u03cc\u03bb\u03bf\u03c2.example", "xn--nxasmm1c.example"),
        ("\u0915\u094d\u200d\u0937.example", "xn--11b2ezcw70k.example"),
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example", "xn--mgba3gch31f060k.example"),
        # A capital sigma is an inner one everywhere, also at the end of a word.
        ("\u0392\u038c\u039b\u039f\u03a3.example", "xn--nxasmq6b.example"),
        ("B\u00dcCHER.Example", "xn--bcher-kva.example"),
        ("b\u00fccher.example.", "xn--bcher-kva.example."),
        ("a\u3002b\uff0ec\uff61\u00fc", "a.b.c.xn--tda"),
        ("\uff45xample.org", "example.org"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        # Labels of ASCII are not judged by IDNA.
        ("_srv.a_b.\u00fc", "_srv.a_b.xn--tda"),
        ("xn--bcher-kva.\u00fc", "xn--bcher-kva.xn--tda"),
        ("-a-.\u00fc", "-a-.xn--tda"),
    ],
)
def test_international_host_is_encoded_as_browsers_do(host: str, encoded: str) -> None:
    assert encode_host(host) == encoded
    assert parse_url(f"wss://user:secret@{host}:81/").host == encoded
    assert encode_host(encoded) == encoded


@pytest.mark.parametrize(
    "host",
    [
        "\u2615.example",  # a symbol
        "\u0661a.example",  # right to left
        "a\u200db.example",  # a joiner that joins nothing
        "\u0300a.example",
        "\u00fc-.example",
        "xn--\u00fc.example",
        "a\u3002\u3002\u00fc",
        "\u00ad.\u00fc",
        "\u00fc." + "a" * 64,
        "\u00fc" * 63,
        "\u00fc." * 60,
        "\u00fc" * 70_000,
        "a." * 127 + "a",
        "\ud800.example",
        "\u2488com",
    ],
)
def test_host_that_is_none_is_named(host: str) -> None:
    for call in (encode_host, lambda host: WebSocket(f"ws://user:secret@{host}/")):
        with pytest.raises(ValueError, match="has an invalid host") as caught:
            call(host)
        assert repr(host[:10])[1:-1] in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(str(caught.value)) < 2000


def test_names_of_ascii_need_no_tables_of_idna() -> None:
    program = "import sys, greenws; greenws.WebSocket('ws://h_/'); assert 'idna' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("server_hostname", "a..b"),
        ("server_hostname", ""),
        ("server_hostname", "\u2615.example"),
        ("server_hostname", "[::1]"),
        ("source_address", ("a..b", 0)),
        ("source_address", ("\u2615.example", 0)),
    ],
)
def test_option_that_is_no_host_is_named(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} has an invalid host"):
        WebSocket("ws://h/", **{option: value})


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user:password", b"user:password"),
        ("user", b"user:"),
        (":password", b":password"),
        ("user:pass:word", b"user:pass:word"),
        ("us%40er:p%3Ass", b"us@er:p:ss"),
        ("grün:ö", "grün:ö".encode()),
        ("%FC:x", b"\xfc:x"),
        ("a@b:c@d", b"a@b:c@d"),
    ],
)
def test_userinfo_is_decoded(userinfo: str, credentials: bytes) -> None:
    parsed = parse_url(f"ws://{userinfo}@example.org:81/x")
    assert parsed.userinfo == credentials
    assert (parsed.host, parsed.port) == ("example.org", 81)
    websocket = WebSocket(f"ws://{userinfo}@example.org:81/x")
    websocket.connect(session_class=lambda websocket: _Idle())
    basic = b"Authorization: Basic " + base64.b64encode(credentials) + b"\r\n"
    assert basic in websocket.build_request()


class _Idle:
    def run(self, **options: Any) -> Any:
        return iter(())


@pytest.mark.parametrize("userinfo", ["", ":"])
def test_empty_userinfo_is_none(userinfo: str) -> None:
    assert parse_url(f"ws://{userinfo}@example.org/").userinfo is None


def test_credentials_are_not_shown() -> None:
    url = "wss://user:secret@example.org:1/path?q"
    parsed = parse_url(url)
    assert parsed.redact() == "wss://example.org:1/path?q"
    assert "secret" not in repr(parsed)
    assert redact_url(url) == "wss://example.org:1/path?q"
    assert redact_url("ws://example.org/@/a@b") == "ws://example.org/@/a@b"
    assert "secret" not in repr(WebSocket(url))
    for bad in ("ws://user:secret@:80/", "ftp://user:secret@h/", "ws://user:secret@h:x/"):
        with pytest.raises(ValueError, match="url") as caught:
            parse_url(bad)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ws://user:s3/cret@host/", "invalid port"),
        ("ws://user:s3?cret@host/", "invalid port"),
        ("ws://user:s3#cret@host/", "invalid port"),
        ("ws://user:s3cret%40host/", "invalid port"),
        ("ws://user:s3cret", "invalid port"),
        ("ws://user:s3 cret@host/", "spaces"),
        ("ws://us er/s3cret@host/", "spaces"),
        ("wss://host/a b?s3cret", "spaces"),
        ("ftp://user:s3/cret@host/", "must begin"),
        ("user:s3cret@host/", "must begin"),
        ("https://host/?s3cret", "must begin"),
        # These characters have "/", "?", "#", "@" or ":" in them. The error of urllib shows all.
        ("ws://user:s3cret\uff20host/", "malformed host"),
        ("ws://user:s3\u2100cret@host/", "malformed host"),
        ("ws://user:s3cret\uff0f@host/", "malformed host"),
        ("ws://user:s3cret@ho\uff1ast/", "malformed host"),
        ("ws://user:s3cret@[::1/", "malformed host"),
        ("ws://user:s3cret@[host]/", "invalid host|malformed host"),
        ("ws://user:s3cret@ho%st/", "invalid host"),
    ],
)
def test_credentials_are_in_no_error(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_url(url)
    shown = "".join(traceback.format_exception(caught.value)[-1:])
    assert "s3" not in shown
    assert "cret" not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_repr_shows_no_token_of_the_query() -> None:
    parsed = parse_url("wss://user:secret@example.org:81/feed?token=s3cret&s3cret")
    assert repr(parsed) == "URL('wss://example.org:81/feed?token=...&...')"


def test_origin_has_no_userinfo() -> None:
    parsed = parse_url("ws://user@example.org/a")
    assert parsed.origin == ("ws", "example.org", 80)
    assert parsed.with_userinfo(None) == parse_url("ws://example.org/a")
    assert parsed.with_userinfo(b"x:y").userinfo == b"x:y"
    assert parse_url("ws://example.org:81").origin != parsed.origin
    assert DEFAULT_PORTS == {"ws": 80, "wss": 443}


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x?y", "ws://example.org:81/x?y"),
        ("x", "ws://example.org:81/a/x"),
        ("../x", "ws://example.org:81/x"),
        ("?y", "ws://example.org:81/a/b?y"),
        ("//other.example/x", "ws://other.example/x"),
        ("http://other.example/x", "ws://other.example/x"),
        ("HTTPS://other.example/x", "wss://other.example/x"),
        ("wss://other.example/x", "wss://other.example/x"),
        ("ftp://other.example/x", "ftp://other.example/x"),
    ],
)
def test_join_follows_a_reference(location: str, url: str) -> None:
    base = parse_url("ws://user:secret@example.org:81/a/b?c")
    assert join_url(base, location) == url


@pytest.mark.parametrize("zone", ["eth0", "2", "25", "25x"])
def test_join_keeps_the_zone_of_an_address(zone: str) -> None:
    base = parse_url(f"ws://[fe80::1%25{zone}]:8080/a/b")
    for location in ("/x", "../x", "//" + base.host_header.replace("]", f"%25{zone}]") + "/x"):
        joined = parse_url(join_url(base, location))
        assert (joined.host, joined.port, joined.resource) == (f"fe80::1%{zone}", 8080, "/x")


def test_join_keeps_the_url_secure() -> None:
    assert join_url(parse_url("wss://example.org/a/b"), "/x") == "wss://example.org/x"
