"""Answers of HTTP: heads with the fields that matter to the opening, and bodies."""

from __future__ import annotations

import random

from tests.fuzz.mutation import TOKENS

#: Stands for the Sec-WebSocket-Accept of the request, and has its length.
ACCEPT = b"@the-accept-of-the-request@@"

#: Hosts of the fuzz; nothing ever connects to them.
HOSTS = [b"a.example", b"b.example", b"127.0.0.1", b"[::1]", b"[fe80::1%25eth0]"]

_CODES = [b"200", b"204", b"304", b"400", b"401", b"403", b"404", b"407", b"426", b"429", b"500"]
_CODES += [b"502", b"503", b"999", b"000", b"600"]
_REDIRECTS = [b"301", b"302", b"303", b"307", b"308"]
_ODD_CODES = [b"", b"1010", b"10", b"abc", b"-01", b"1e2", b"\xb2\xb3\xb9", "٢٠٠".encode(), b"0x1"]
_WORDS = ["Grüße", "naïve", "価格", "😀", "Ω", "a b", "x", "%C3%A9", "caf\u0301e"]
_FOREIGN = [
    b"SSH-2.0-OpenSSH_9.2p1\r\n",
    b"-ERR unknown command 'GET'\r\n",
    b"220 mail.example ESMTP\r\n",
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"HTTP/0.9 200\r\n",
    b"<html><body>Bad request</body></html>",
    b"RFB 003.008\n",
    b"\x16\x03\x01" + b"\0" * 40,
    b"ICY 200 OK\r\n\r\n",
]


def make_text(rng: random.Random, size: int = 12) -> bytes:
    """Make up a value: visible mostly, and sometimes bytes that no head should have."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(_WORDS).encode(rng.choice(["utf-8", "utf-16-le"]))
    if kind == 1:
        return rng.choice(_WORDS).encode("latin-1", "replace")
    if kind == 2:
        return rng.randbytes(rng.randint(0, size))
    if kind == 3:
        return rng.choice(TOKENS)
    return "".join(rng.choices("abcXYZ019-_.~/", k=rng.randint(0, size))).encode()


def make_url(rng: random.Random) -> bytes:
    """Make up a Location: absolute, relative, of our schemes or of others."""
    path = b"/".join(make_text(rng) for _ in range(rng.randint(0, 3)))
    if rng.random() < 0.3:
        path += b"?" + make_text(rng) + b"=" + make_text(rng)
    if rng.random() < 0.1:
        path += b"#" + make_text(rng)
    kind = rng.randrange(10)
    if kind < 3:
        return b"/" + path
    if kind == 3:
        return rng.choice([b"", b"../", b"./", b"?", b"//", b"///", b"\\\\"]) + path
    scheme = rng.choice([b"ws", b"wss", b"http", b"https", b"HTTP", b"wss", b"ws", b"ftp", b"data"])
    host = rng.choice([*HOSTS, HOSTS[0], HOSTS[1], make_text(rng), "faß.example".encode()])
    port = rng.choice([b"", b"", b"", b":80", b":443", b":9001", b":0", b":99999", b":x", b":"])
    user = rng.choice([b"", b"", b"", b"user:pw@", b"@", b":@", make_text(rng) + b"@"])
    return scheme + b"://" + user + host + port + b"/" + path


def make_cookie(rng: random.Random) -> bytes:
    """Make up a Set-Cookie."""
    name = rng.choice([b"a", b"b", b"session", b"", make_text(rng)])
    parts = [name + rng.choice([b"=", b"=", b"=", b""]) + make_text(rng, 20)]
    for _ in range(rng.randrange(4)):
        parts.append(
            rng.choice(
                [
                    b"Path=/",
                    b"Path=" + make_text(rng),
                    b"Domain=.example",
                    b"Domain=" + rng.choice(HOSTS),
                    b"Domain=" + make_text(rng),
                    b"Max-Age=" + rng.choice([b"60", b"0", b"-1", b"9" * 40, b"1e9", b"x"]),
                    b"Expires=Wed, 21 Oct 2065 07:28:00 GMT",
                    b"Expires="
                    + rng.choice([b"0", b"Wed, 99 Foo 99999", b"9" * 30, make_text(rng)]),
                    b"Version=" + rng.choice([b"0", b"1", b"x", b"9" * 5000]),
                    b"Port=" + rng.choice([b"80", b'"80,x"', b""]),
                    b"Secure",
                    b"HttpOnly",
                    b"SameSite=None",
                    make_text(rng),
                ]
            )
        )
    return b"; ".join(parts)


def make_extensions(rng: random.Random) -> bytes:
    """Make up a Sec-WebSocket-Extensions."""
    parameters = [
        b"server_no_context_takeover",
        b"client_no_context_takeover",
        b"server_max_window_bits="
        + rng.choice([b"8", b"9", b"15", b'"10"', b"7", b"16", b"08", b""]),
        b"client_max_window_bits="
        + rng.choice([b"8", b"9", b"15", b'"10"', b"7", b"x", b'"\\1\\2"']),
        b"client_max_window_bits",
        make_text(rng),
    ]
    name = rng.choice([b"permessage-deflate"] * 6 + [b"x-webkit-deflate-frame", make_text(rng)])
    chosen = b"; ".join([name, *rng.sample(parameters, rng.choice([0, 0, 1, 1, 2, 3]))])
    return chosen + rng.choice([b""] * 8 + [b",", b", permessage-deflate", b";" * 200])


def make_field(rng: random.Random) -> bytes:
    """Make up a line of a head that has nothing to do with the upgrade, valid or not."""
    kind = rng.randrange(14)
    if kind < 3:
        return b"Set-Cookie: " + make_cookie(rng)
    if kind == 3:
        return b"Content-Length: " + rng.choice(
            [b"0", b"5", b"100", b"-1", b"5, 5", b"5, 6", b"9" * 5000, b"0x5", b"\xd9\xa5"]
        )
    if kind == 4:
        return b"Transfer-Encoding: " + rng.choice(
            [b"chunked", b"gzip, chunked", b"chunked, gzip", b"", b"CHUNKED"]
        )
    if kind == 5:
        return b"Retry-After: " + rng.choice(
            [
                b"0",
                b"5",
                b"-5",
                b"1e3",
                b"inf",
                b"1_0",
                b"9" * 400,
                b"Wed, 21 Oct 2015 07:28:00 GMT",
                b"Sunday, 06-Nov-%02d 08:49:37 GMT" % rng.randrange(100),
                b"Sun Nov %2d 08:49:37 %d" % (rng.randrange(40), rng.choice([0, 1994, 9999])),
                make_text(rng),
            ]
        )
    if kind == 6:
        return rng.choice([b" ", b"\t"]) + make_text(rng)  # a folded line
    if kind == 7:
        return make_text(rng)
    if kind == 8:
        return make_text(rng) + b":" + make_text(rng)
    if kind == 9 and rng.random() < 0.1:
        return b"X-Long: " + b"y" * rng.choice([1000, 66_000])
    if kind == 10 and rng.random() < 0.1:
        return b"\r\n".join(b"X-%d: z" % number for number in range(rng.choice([50, 2000])))
    return (
        rng.choice([b"Server", b"Date", b"Via", b"X-A", b"Content-Type"])
        + b": "
        + make_text(rng, 30)
    )


def make_head(rng: random.Random, code: bytes, fields: list[bytes]) -> bytes:
    """Build a head of ``fields``, which come in any order."""
    fields = [*fields, *(make_field(rng) for _ in range(rng.choice([0, 0, 1, 2, 4])))]
    rng.shuffle(fields)
    version = b"HTTP/1.1"
    if rng.random() < 0.05:
        version = rng.choice(
            [b"HTTP/1.0", b"HTTP/2", b"http/1.1", b"HTTP/1.11", b"", make_text(rng)]
        )
    phrase = rng.choice([b" OK", b" OK", b"", b" ", b" " + make_text(rng)])
    end = b"\r\n"
    if rng.random() < 0.1:
        end = rng.choice([b"\n", b"\r", b"\r\r\n", b" \r\n"])
    blank = rng.choice([b""] * 9 + [b"\r\n", b"\n\n"])
    return blank + end.join([version + b" " + code + phrase, *fields, b"", b""])


def make_upgrade(rng: random.Random) -> bytes:
    """Build the head of an upgrade, with one fault at most."""
    fields = [
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + ACCEPT,
    ]
    if rng.random() < 0.15:
        place = rng.randrange(3)
        name = fields[place].partition(b":")[0]
        fields[place] = rng.choice([b"X: y", name + b": " + make_text(rng), name + b":"])
    if rng.random() < 0.5:
        fields.append(b"Sec-WebSocket-Extensions: " + make_extensions(rng))
    if rng.random() < 0.3:
        fields.append(
            b"Sec-WebSocket-Protocol: "
            + rng.choice([b"v1", b"v2", b"v9", b"v1, v2", make_text(rng)])
        )
    return make_head(rng, b"101", fields)


def make_body(rng: random.Random) -> bytes:
    """Make up a body: text, chunks, or what looks like chunks."""
    kind = rng.randrange(5)
    if kind == 0:
        return b""
    if kind == 1:
        return make_text(rng, 40)
    if kind == 2:
        return b"no such feed" * rng.choice([1, 10, 6000])
    chunks = []
    for _ in range(rng.randint(0, 4)):
        content = make_text(rng, 30)
        size = b"%x" % len(content)
        if rng.random() < 0.2:
            size = rng.choice(
                [b"-1", b"f" * 16, b"f" * 17, b"0x5", b"5;" + b"e" * 2000, b"+5", b"", b" 5"]
            )
        chunks.append(size + rng.choice([b"\r\n", b"\r\n", b"\n", b";a=b\r\n"]) + content + b"\r\n")
    return b"".join(chunks) + b"0\r\n" + rng.choice([b"\r\n", b"Trailer: x\r\n\r\n", b""])


def make_refusal(rng: random.Random) -> bytes:
    """Make up an answer that is no upgrade."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(_FOREIGN)
    if kind == 1:
        return rng.choice(_FOREIGN)[: rng.randint(1, 6)] + rng.randbytes(rng.randint(0, 30))
    code = rng.choice(_CODES if kind > 2 else _ODD_CODES)
    body = make_body(rng)
    fields = []
    if rng.random() < 0.6:
        is_chunked = body.endswith((b"0\r\n", b"\r\n\r\n"))
        fields.append(
            b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
        )
    return make_head(rng, code, fields) + body


def make_redirect(rng: random.Random) -> bytes:
    """Make up an answer that leads elsewhere."""
    fields = [b"Location: " + make_url(rng)]
    if rng.random() < 0.1:
        fields.append(b"Location: " + make_url(rng))
    if rng.random() < 0.4:
        fields.append(b"Set-Cookie: " + make_cookie(rng))
    if rng.random() < 0.5:
        fields.append(b"Content-Length: 0")
    after = rng.choice([b"", b"", b"moved", b"HTTP/1.1 400 x\r\n\r\n"])
    return make_head(rng, rng.choice(_REDIRECTS), fields) + after


def make_interim(rng: random.Random) -> bytes:
    """Make up what may come before an answer."""
    return rng.choice(
        [
            b"",
            b"",
            b"",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            b"HTTP/1.1 102 \r\n\r\n" * 40,
        ]
    )
