"""Which proxy a connection goes through: its URL, the argument, the environment, ``no_proxy``."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.proxies.address import ProxyAddress, choose_proxy, is_exempt, parse_proxy


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for key in ("http", "https", "ws", "wss", "all", "no"):
        monkeypatch.delenv(f"{key}_proxy", raising=False)
        monkeypatch.delenv(f"{key}_proxy".upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)
    yield


def choose(
    is_secure: bool = True, host: str = "example.org", port: int = 443, proxies: object = None
) -> str | None:
    found = choose_proxy(is_secure, host, port, proxies)  # type: ignore[arg-type]
    return None if found is None else found.host


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("http://p:3128", "http://p:3128"),
        ("http://p", "http://p:80"),
        ("https://p", "https://p:443"),
        ("socks4://p", "socks4://p:1080"),
        ("socks4a://p", "socks4a://p:1080"),
        ("socks5://p:9", "socks5://p:9"),
        ("SOCKS5H://P", "socks5h://p:1080"),
        ("p:3128", "http://p:3128"),
        ("p", "http://p:80"),
        ("[::1]:3128", "http://[::1]:3128"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
        ("http://p:3128/", "http://p:3128"),
        ("http://p:3128/path?query#fragment", "http://p:3128"),
        (" http://p:3128 ", "http://p:3128"),
        ("http://bücher.example:8080", "http://xn--bcher-kva.example:8080"),
        ("socks5h://fa\u00df.example", "socks5h://xn--fa-hia.example:1080"),
        ("user:secret@p:3128", "http://p:3128"),
    ],
)
def test_parse_proxy_gives_its_parts(url: str, redacted: str) -> None:
    assert parse_proxy(url).redacted == redacted
    assert str(parse_proxy(url)) == redacted


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("http://p", None),
        ("http://@p", None),
        ("http://user@p", b"user:"),
        ("http://user:@p", b"user:"),
        ("http://:secret@p", b":secret"),
        ("http://user:secret@p", b"user:secret"),
        ("http://user:a%40b%3Ac%2Fd%25@p", b"user:a@b:c/d%"),
        ("http://user:a:b@p", b"user:a:b"),
        ("http://us%C3%A9r:%00%FF@p", b"us\xc3\xa9r:\x00\xff"),
        ("http://usér:p@p", b"us\xc3\xa9r:p"),
        ("http://user:unencoded@/?#%@p", b"user:unencoded@/?#%"),
    ],
)
def test_credentials_are_percent_decoded(url: str, credentials: bytes | None) -> None:
    assert parse_proxy(url).credentials == credentials
    assert parse_proxy(url).host == "p"


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=300))
def test_any_credentials_survive_encoding(user: bytes, password: bytes) -> None:
    from urllib.parse import quote_from_bytes

    proxy = parse_proxy(f"http://{quote_from_bytes(user, safe='')}:{quote_from_bytes(password)}@p")
    assert (proxy.username, proxy.password) == (user, password)
    assert base64.b64encode(proxy.credentials or b"").count(b"\n") == 0


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ftp://user:S3cret@p", "must be one of http, https"),
        ("http://user:S3cret@", "no host"),
        ("http://", "no host"),
        ("http://user:S3cret@p:port", "invalid port"),
        ("http://user:S3cret@p:0", "invalid port"),
        ("http://user:S3cret@p:65536", "invalid port"),
        ("http://user:S3cret@p:999999", "invalid port"),
        ("http://user:S3cret", "invalid port"),  # without a host
        ("http://user:S3cret@[::1", "invalid IPv6 address"),
        ("http://user:S3cret@[S3cret]", "invalid IPv6 address"),
        ("http://user:S3cret@p p", "invalid host"),
        ("http://user:S3cret@p\r\nX", "invalid host"),
        ("user:S3cret@h\0st", "invalid host"),
    ],
)
def test_bad_url_is_refused_without_secrets(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_proxy(url, "https_proxy")
    assert str(caught.value).startswith("https_proxy: ")
    assert "S3cret" not in "".join(traceback.format_exception(caught.value, chain=True))


def test_url_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="must be str, not bytes"):
        choose_proxy(True, "h", 1, {"https": b"http://p"})  # type: ignore[dict-item]


def test_repr_has_no_credentials() -> None:
    proxy = parse_proxy("http://us3r:S3cret@p")
    assert "S3cret" not in repr(proxy) + str(proxy) + proxy.redacted
    assert "us3r" not in repr(proxy) + str(proxy) + proxy.redacted


@pytest.mark.parametrize(
    ("scheme", "is_socks", "resolves"),
    [
        ("http", False, True),
        ("https", False, True),
        ("socks4", True, False),
        ("socks4a", True, True),
        ("socks5", True, False),
        ("socks5h", True, True),
    ],
)
def test_scheme_decides_what_the_proxy_can(scheme: str, is_socks: bool, resolves: bool) -> None:
    proxy = ProxyAddress(scheme, "p", 1)
    assert (proxy.is_socks, proxy.resolves) == (is_socks, resolves)


@pytest.mark.parametrize(
    ("scheme", "hint"),
    [
        ("socks", "in place of socks:// write socks5h://.* or socks5://"),
        ("SOCKS", "in place of socks:// write socks5h://.* or socks5://"),
        ("socks4h", "write socks4a://"),
        ("socks5a", "write socks5h://"),
    ],
)
def test_scheme_of_other_programs_gets_a_hint(
    scheme: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{scheme}://user:s3cret@127.0.0.1:1080/"
    with pytest.raises(ValueError, match=hint) as caught:
        parse_proxy(url)
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("all_proxy", url)
    for name in ("http_proxy", "HTTP_PROXY", "ws_proxy", "WS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=f"all_proxy: .*{hint}"):
        choose_proxy(False, "example.org", 80, None)


@pytest.mark.parametrize(
    ("is_secure", "proxies", "host"),
    [
        (True, {}, None),
        (True, {"https": "http://a"}, "a"),
        (True, {"http": "http://a"}, None),
        (False, {"http": "http://a"}, "a"),
        (False, {"https": "http://a"}, None),
        (True, {"https": "http://a", "wss": "http://b", "all": "http://c"}, "b"),
        (True, {"https": "http://a", "all": "http://c"}, "a"),
        (True, {"all": "http://c"}, "c"),
        (False, {"http": "http://a", "ws": "http://b", "all": "http://c"}, "b"),
        (False, {"all": "http://c"}, "c"),
        (True, {"wss": None, "all": "http://c"}, None),
        (True, {"https": "", "all": "http://c"}, None),
    ],
)
def test_argument_decides(is_secure: bool, proxies: dict[str, str], host: str | None) -> None:
    assert choose(is_secure, proxies=proxies) == host


def test_argument_keeps_the_environment_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://env")
    monkeypatch.setenv("no_proxy", "*")
    assert choose(proxies={}) is None
    assert choose(proxies={"https": "http://a"}) == "a"


@pytest.mark.parametrize(
    ("is_secure", "variables", "host"),
    [
        (True, {}, None),
        (True, {"https_proxy": "http://a"}, "a"),
        (True, {"HTTPS_PROXY": "http://a"}, "a"),
        (True, {"HTTPS_PROXY": "http://a", "https_proxy": "http://b"}, "b"),
        (True, {"http_proxy": "http://a"}, None),
        (False, {"http_proxy": "http://a"}, "a"),
        (False, {"HTTP_PROXY": "http://a"}, "a"),
        (True, {"all_proxy": "http://a"}, "a"),
        (False, {"ALL_PROXY": "http://a"}, "a"),
        (True, {"ALL_PROXY": "http://a", "https_proxy": "http://b"}, "b"),
        (True, {"wss_proxy": "http://a", "https_proxy": "http://b"}, "a"),
        (True, {"WSS_PROXY": "http://a", "https_proxy": "http://b"}, "a"),
        (False, {"ws_proxy": "http://a", "http_proxy": "http://b"}, "a"),
        (True, {"https_proxy": "", "HTTPS_PROXY": "http://a"}, None),
        (True, {"https_proxy": "", "all_proxy": "http://a"}, "a"),
        (False, {"HTTP_PROXY": "http://a", "REQUEST_METHOD": "GET"}, None),
        (False, {"http_proxy": "http://a", "REQUEST_METHOD": "GET"}, "a"),
        (True, {"HTTPS_PROXY": "http://a", "REQUEST_METHOD": "GET"}, "a"),
    ],
)
def test_environment_decides(
    monkeypatch: pytest.MonkeyPatch, is_secure: bool, variables: dict[str, str], host: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert choose(is_secure) == host


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_environment_exempts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("https_proxy", "http://a")
    monkeypatch.setenv(name, "example.org")
    assert choose(host="example.org") is None
    assert choose(host="example.com") == "a"


def test_lower_case_no_proxy_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://a")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "*")
    assert choose() == "a"


def test_bad_url_in_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://u:S3cret@p")
    with pytest.raises(ValueError, match=r"^ALL_PROXY: .* must be one of") as caught:
        choose()
    assert "S3cret" not in str(caught.value)


def test_bad_url_of_an_exempt_host_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "gopher://p")
    monkeypatch.setenv("no_proxy", "example.org")
    assert choose() is None


@pytest.mark.parametrize(
    ("host", "no_proxy", "expected"),
    [
        ("example.org", "", False),
        ("example.org", "*", True),
        ("example.org", "a.org, *", True),
        ("example.org", "example.org", True),
        ("example.org", "EXAMPLE.Org", True),
        ("Example.ORG", "example.org", True),
        ("example.org.", "example.org", True),
        ("example.org", "example.org.", True),
        ("example.org", ".example.org", True),
        ("www.example.org", "example.org", True),
        ("www.example.org", ".example.org", True),
        ("www.example.org", "*.example.org", True),
        ("a.b.example.org", "example.org", True),
        ("notexample.org", "example.org", False),
        ("example.org", "www.example.org", False),
        ("example.org", "org", True),
        ("example.org", "a.com,example.org", True),
        ("example.org", "a.com example.org", True),
        ("example.org", " a.com ,\texample.org ", True),
        ("example.org", "example.org:443", True),
        ("example.org", "example.org:80", False),
        ("www.example.org", ".example.org:443", True),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("xn--fa-hia.example", "fa\u00df.example", True),
        ("xn--fa-hia.example", "fass.example", False),
        ("fass.example", "fa\u00df.example", False),
        ("www.xn--fa-hia.example", "*\u3002FA\u1e9e\u3002example\u3002", True),
        ("xn--nxasmq6b.example", "\u0392\u038c\u039b\u039f\u03a3.example:443", True),
        ("fa\u00df.example", "xn--fa-hia.example", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3/8", True),
        ("10.1.2.3", "10.1.2.0/255.255.255.0", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "3", False),
        ("::1", "::1", True),
        ("::1", "[::1]", True),
        ("::1", "[::1]:443", True),
        ("::1", "[::1]:80", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("::1", "127.0.0.1", False),
        ("2001:db8::5", "2001:db8::/32", True),
        ("2001:db8::5", "[2001:db8::]/32", True),
        ("2001:db9::5", "2001:db8::/32", False),
        ("2001:db8::5", "10.0.0.0/8", False),
        ("fe80::1%eth0", "fe80::/10", True),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("example.org", "10.0.0.0/8", False),
        ("example.org", "300.0.0.0/8,10.0.0.0/99,a/b,/,.,:,[,:443,.:443,\0,a..b", False),
        ("10.1.2.3", "300.0.0.0/8,10.0.0.0/99,a/b,/,.,:,[,:443,.:443,\0,a..b", False),
    ],
)
def test_no_proxy_exempts_hosts(host: str, no_proxy: str, expected: bool) -> None:
    assert is_exempt(host, 443, no_proxy) is expected


@given(st.text(max_size=50), st.sampled_from(["example.org", "10.0.0.1", "::1", "", "."]))
def test_any_no_proxy_is_harmless(no_proxy: str, host: str) -> None:
    assert is_exempt(host, 443, no_proxy) in (True, False)


@given(st.text(max_size=60))
def test_any_url_is_parsed_or_refused(url: str) -> None:
    try:
        proxy = parse_proxy(url)
    except ValueError as error:
        assert str(error).startswith("proxy: ")
    else:
        assert 0 < proxy.port < 65536
        assert proxy.host
