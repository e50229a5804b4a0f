"""permessage-deflate: its negotiation and its streams."""

from __future__ import annotations

import random
import sys
import tracemalloc
import zlib
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.errors import CompressionParameterError, CriticalProtocolError, HandshakeError
from greenws.options import CompressOptions
from greenws.protocol import compression
from greenws.protocol.compression import Deflate
from greenws.protocol.extensions import (
    OFFER,
    accept_response,
    build_offer,
    parse_extensions,
)
from greenws.testing.upgrade import answer_offer

TAIL = b"\x00\x00\xff\xff"
WBITS = range(8, 16)

HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")  # RFC 7692 section 7.2.3.1
HELLO_AGAIN = bytes.fromhex("f2 00 11 00 00")  # section 7.2.3.2, after HELLO
HELLO_STORED = bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00")  # section 7.2.3.3
HELLO_FINAL = bytes.fromhex("f3 48 cd c9 c9 07 00 00")  # section 7.2.3.4
HELLO_IN_TWO_BLOCKS = bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")  # section 7.2.3.5


def text(size: int, seed: int = 0) -> bytes:
    """Make bytes that match others at all distances."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(3, 40)) for _ in range(200)]
    return b"".join(source.choices(words, k=size // 10 + 1))[:size]


def final_stream(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


# A reader of DEFLATE (RFC 1951 section 3.2) that measures how far references go back: zlib cannot
# be made to refuse distances beyond a window of 256 bytes.


def base_values(first: int, codes: int, step: int) -> list[tuple[int, int]]:
    """The smallest value and the number of extra bits of each code (tables of section 3.2.5)."""
    values = []
    for code in range(codes):
        extra = max(0, code // step - 1)
        values.append((first, extra))
        first += 1 << extra
    return values


LENGTHS = [*base_values(3, 28, 4), (258, 0)]
DISTANCES = base_values(1, 30, 2)
ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

Codes = dict[tuple[int, int], int]  # (number of bits, code) to symbol


def canonical(lengths: list[int]) -> Codes:
    codes: Codes = {}
    code = 0
    for size in range(1, 16):
        for symbol, length in enumerate(lengths):
            if length == size:
                codes[size, code] = symbol
                code += 1
        code <<= 1
    return codes


class Bits:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> int:
        value = 0
        for index in range(count):
            byte = self.data[self.position >> 3]
            value |= (byte >> (self.position & 7) & 1) << index
            self.position += 1
        return value

    def symbol(self, codes: Codes) -> int:
        code = size = 0
        while (size, code) not in codes:
            code = code << 1 | self.take(1)
            size += 1
        return codes[size, code]

    def code_tables(self) -> tuple[Codes, Codes]:
        literals, distances, count = self.take(5) + 257, self.take(5) + 1, self.take(4) + 4
        sizes = [0] * 19
        for index in ORDER[:count]:
            sizes[index] = self.take(3)
        codes = canonical(sizes)
        lengths: list[int] = []
        while len(lengths) < literals + distances:
            symbol = self.symbol(codes)
            if symbol < 16:
                lengths.append(symbol)
            elif symbol == 16:
                lengths += lengths[-1:] * (3 + self.take(2))
            else:
                lengths += [0] * (3 + self.take(3) if symbol == 17 else 11 + self.take(7))
        return canonical(lengths[:literals]), canonical(lengths[literals:])


def measure(stream: bytes, window: bytes = b"") -> tuple[bytes, int]:
    """Inflate a message from the wire.

    :returns: its bytes, and the largest distance in it.
    """
    stream += TAIL
    bits = Bits(stream)
    out = bytearray(window)
    largest = 0
    while bits.position + 3 <= 8 * len(stream):
        is_final, kind = bits.take(1), bits.take(2)
        assert not is_final
        if kind == 0:
            bits.position = (bits.position + 7) // 8 * 8
            size, check = bits.take(16), bits.take(16)
            assert size ^ check == 0xFFFF
            out += bytes(bits.take(8) for _ in range(size))
            continue
        if kind == 1:
            literals = canonical([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)
            distances = canonical([5] * 30)
        else:
            literals, distances = bits.code_tables()
        while (symbol := bits.symbol(literals)) != 256:
            if symbol < 256:
                out.append(symbol)
                continue
            first, extra = LENGTHS[symbol - 257]
            length = first + bits.take(extra)
            first, extra = DISTANCES[bits.symbol(distances)]
            distance = first + bits.take(extra)
            largest = max(largest, distance)
            assert distance <= len(out)
            for _ in range(length):
                out.append(out[-distance])
    return bytes(out[len(window) :]), largest


def test_measure_finds_the_largest_distance() -> None:
    data = text(3000)
    compressor = zlib.compressobj(wbits=-15)
    wire = (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    inflated, largest = measure(wire)
    assert inflated == data
    assert 1000 < largest < 3000


# Compressing


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wbits", WBITS)
def test_distances_stay_in_the_window(wbits: int, reset: bool) -> None:
    deflate = Deflate(compress_wbits=wbits, reset_compress=reset)
    window = b""
    furthest = 0
    for seed, size in enumerate((700, 100, 2000, 300)):
        data = text(size, seed=seed // 2)
        inflated, largest = measure(deflate.compress(data), b"" if reset else window)
        assert inflated == data
        assert largest <= 1 << wbits
        window += data
        furthest = max(furthest, largest)
    assert furthest > 0


@pytest.mark.parametrize("data", [b"x" * 5000, text(256) * 3, text(255) * 3, text(257) * 3])
def test_distances_stay_in_a_window_of_256_bytes(data: bytes) -> None:
    deflate = Deflate(compress_wbits=8)
    for _ in range(2):
        # measure() does not get the message before, and fails at a reference to it.
        inflated, largest = measure(deflate.compress(data))
        assert inflated == data
        assert largest <= 256


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wbits", WBITS)
def test_zlib_decodes_what_we_send(wbits: int, reset: bool) -> None:
    deflate = Deflate(compress_wbits=wbits, reset_compress=reset)
    decompressor = zlib.decompressobj(-wbits)
    for size in (1, 80, 255, 256, 257, 600, 5000, 100_000):
        if reset:
            decompressor = zlib.decompressobj(-wbits)
        data = text(size)
        assert decompressor.decompress(deflate.compress(data) + TAIL) == data


@pytest.mark.parametrize("wbits", range(9, 16))
def test_we_decode_what_zlib_sends(wbits: int) -> None:
    deflate = Deflate(decompress_wbits=wbits)
    compressor = zlib.compressobj(wbits=-wbits)
    for size in (1, 80, 600, 5000, 100_000):
        data = text(size)
        wire = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert deflate.decompress(wire[:-4], -1, True) == data


def test_peer_may_use_9_bits_for_8() -> None:
    deflate = Deflate(decompress_wbits=8)
    compressor = zlib.compressobj(wbits=-9)
    data = text(5000)
    wire = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert deflate.decompress(wire[:-4], -1, True) == data


@pytest.mark.skipif(compression.find_zlib() is not zlib, reason="zlib-ng has ways of its own")
def test_compress_gives_the_bytes_of_the_rfc() -> None:
    deflate = Deflate()
    assert deflate.compress(b"Hello") == HELLO
    assert deflate.compress(b"Hello") == HELLO_AGAIN


@pytest.mark.parametrize("wbits", [8, 15])
def test_compress_without_takeover_repeats_itself(wbits: int) -> None:
    for _ in range(2):  # the second connection gets the compressor of the first
        deflate = Deflate(compress_wbits=wbits, reset_compress=True)
        assert [deflate.compress(b"Hello") for _ in range(3)] == [HELLO] * 3


def test_compress_without_takeover_keeps_no_compressor() -> None:
    deflate = Deflate(reset_compress=True, reset_decompress=True)
    before = dict(vars(deflate))
    deflate.decompress(deflate.compress(text(1000)), -1, True)
    assert vars(deflate) == before


def test_compressor_of_a_failed_call_is_not_used_again() -> None:
    deflate = Deflate(reset_compress=True)
    deflate.compress(b"Hello")
    with pytest.raises(TypeError):
        deflate.compress("text")  # type: ignore[arg-type]
    assert deflate.compress(b"Hello") == HELLO


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wbits", WBITS)
def test_empty_messages_survive(wbits: int, reset: bool) -> None:
    deflate = Deflate(compress_wbits=wbits, reset_compress=reset, reset_decompress=reset)
    for data in (b"", b"", b"Hello", b"", b"", b"Hello"):
        wire = deflate.compress(data)
        assert data or wire == b"\x00"
        assert deflate.decompress(wire, 5, True) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("wbits", [8, 15])
@pytest.mark.parametrize("size", [0, 5, 50_000])
def test_any_kind_of_bytes_is_compressed(kind: type, wbits: int, size: int) -> None:
    deflate = Deflate(compress_wbits=wbits)
    data = text(size)
    for final in (True, False):
        wire = deflate.compress(kind(data))
        assert type(wire) is bytes
        inflated = deflate.decompress(kind(wire), size, final)
        assert type(inflated) is bytes
        assert inflated == data


# Decompressing


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wire", [HELLO, HELLO_STORED, HELLO_FINAL, HELLO_IN_TWO_BLOCKS])
def test_examples_of_the_rfc_are_inflated(wire: bytes, reset: bool) -> None:
    whole = Deflate(reset_decompress=reset)
    bytewise = Deflate(reset_decompress=reset)
    for _ in range(3):
        assert whole.decompress(wire, 5, True) == b"Hello"
        pieces = [bytewise.decompress(wire[i : i + 1], 5, False) for i in range(len(wire))]
        assert b"".join([*pieces, bytewise.decompress(b"", 5, True)]) == b"Hello"


def test_example_of_context_takeover_is_inflated() -> None:
    deflate = Deflate()
    assert deflate.decompress(HELLO, -1, True) == b"Hello"
    assert deflate.decompress(HELLO_AGAIN, -1, True) == b"Hello"


def test_reference_to_a_forgotten_message_is_an_error() -> None:
    deflate = Deflate(reset_decompress=True)
    deflate.decompress(HELLO, -1, True)
    with pytest.raises(CriticalProtocolError, match="too far back"):
        deflate.decompress(HELLO_AGAIN, -1, True)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("limit", [1, 999, 1000, 1001, 4000, 5000, 6000])
def test_final_block_may_end_a_message_that_inflates_in_steps(limit: int, reset: bool) -> None:
    deflate = Deflate(reset_decompress=reset)
    wire = zlib.compress(b"a" * 5000, 9, wbits=-15)
    for _ in range(2):
        inflated = deflate.begin(wire, True, limit)
        while not deflate.is_whole:
            inflated += deflate.go_on(limit)
        assert inflated == b"a" * 5000
    assert deflate.decompress(HELLO, 5, True) == b"Hello"


@pytest.mark.parametrize("reset", [False, True])
def test_final_block_may_end_the_message(reset: bool) -> None:
    deflate = Deflate(reset_decompress=reset)
    for data in (b"one", b"two"):
        assert deflate.decompress(final_stream(data), 3, True) == data
        assert deflate.decompress(final_stream(data), 3, False) == data
        assert deflate.decompress(b"", 0, True) == b""
    assert deflate.decompress(HELLO, 5, True) == b"Hello"


@pytest.mark.parametrize("reset", [False, True])
def test_empty_message_may_have_no_block(reset: bool) -> None:
    deflate = Deflate(reset_decompress=reset)
    for _ in range(2):
        assert deflate.decompress(b"", 0, True) == b""
        assert deflate.decompress(b"", 0, False) == b""
        assert deflate.decompress(b"", 0, True) == b""
        assert deflate.decompress(HELLO, 5, True) == b"Hello"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [10, 5000])
def test_message_may_have_several_streams(size: int, reset: bool) -> None:
    parts = [text(size, seed) for seed in range(5)]
    wire = b"".join(map(final_stream, parts)) + HELLO
    expected = b"".join(parts) + b"Hello"
    deflate = Deflate(reset_decompress=reset)
    for _ in range(2):
        assert deflate.decompress(wire, len(expected), True) == expected
    assert len(deflate.decompress(wire, len(expected) - 1, True)) == len(expected)


def test_message_with_too_many_streams_is_an_error() -> None:
    empty = final_stream(b"")
    deflate = Deflate()
    assert deflate.decompress(empty * 4096, 0, True) == b""
    assert deflate.decompress(empty * 4096, 0, True) == b""  # each message counts its own
    for _ in range(4096):
        deflate.decompress(empty, 0, False)
    with pytest.raises(CriticalProtocolError, match="too many final blocks"):
        deflate.decompress(empty, 0, False)
    with pytest.raises(CriticalProtocolError, match="too many final blocks"):
        Deflate().decompress(empty * 4_000_000, 0, True)


@pytest.mark.parametrize("wire", [b"\x07", b"\x06", b"\xff" * 10, b"\x00\x01\x02\x03\x04"])
def test_broken_stream_is_an_error(wire: bytes) -> None:
    with pytest.raises(CriticalProtocolError, match="broken deflate stream") as caught:
        Deflate().decompress(wire, -1, True)
    assert isinstance(caught.value.__cause__, compression.zlib_error)
    assert caught.value.code == 1007


@pytest.mark.parametrize("cut", range(1, len(HELLO)))
def test_stream_cut_short_is_an_error(cut: int) -> None:
    with pytest.raises(CriticalProtocolError, match="broken deflate stream"):
        Deflate(reset_decompress=True).decompress(HELLO[:cut], -1, True)
    deflate = Deflate(reset_decompress=True)
    with pytest.raises(CriticalProtocolError, match="broken deflate stream"):
        deflate.decompress(HELLO[:cut], -1, False)
        deflate.decompress(b"", -1, True)


def test_stored_block_cut_short_is_an_error() -> None:
    with pytest.raises(CriticalProtocolError, match=r"broken deflate stream \(cut short\)"):
        Deflate(reset_decompress=True).decompress(b"\x00\xff\x00\x00\xffHello", -1, True)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5000, 100_000])
def test_max_length_bounds_the_output(size: int, reset: bool) -> None:
    wire = Deflate().compress(text(size))
    for limit in (size, size + 1, 2**63 - 1, -1):
        assert Deflate(reset_decompress=reset).decompress(wire, limit, True) == text(size)
    for limit in {max(0, size - 1), size // 2, 0} - {size}:
        for final in (True, False):
            deflate = Deflate(reset_decompress=reset)
            assert deflate.decompress(wire, limit, final) == text(size)[: limit + 1]


@pytest.mark.parametrize("wire", ["one stream", "two streams", "large"])
def test_bomb_is_not_inflated(wire: str) -> None:
    zeros = bytes(20_000_000)
    data = {
        "one stream": Deflate().compress(zeros),
        "two streams": final_stream(b"Hello") + Deflate().compress(zeros),
        "large": Deflate().compress(random.Random(0).randbytes(5000) + zeros),
    }[wire]
    tracemalloc.start()
    try:
        assert len(Deflate().decompress(data, 50_000, True)) == 50_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Joining the pieces holds the output twice for a moment; zlib's state and the input add to it.
    assert peak < (300_000 if compression.find_zlib() is zlib else 450_000)


@pytest.mark.parametrize("wbits", [7, 16, 0, -15])
def test_bad_window_bits_are_refused(wbits: int) -> None:
    with pytest.raises(ValueError, match="window bits must be 8-15"):
        Deflate(compress_wbits=wbits)
    with pytest.raises(ValueError, match="window bits must be 8-15"):
        Deflate(decompress_wbits=wbits)


def test_zlib_ng_is_used_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    faster = ModuleType("zlib_ng.zlib_ng")
    with monkeypatch.context() as modules:
        modules.setitem(sys.modules, "zlib_ng", ModuleType("zlib_ng"))
        modules.setitem(sys.modules, "zlib_ng.zlib_ng", faster)
        assert compression.find_zlib() is faster
    with monkeypatch.context() as modules:
        modules.setitem(sys.modules, "zlib_ng.zlib_ng", None)
        assert compression.find_zlib() is zlib


def test_zlib_state_is_created_when_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def compressobj(*args: Any) -> zlib._Compress:
        made.append("compressor")
        return zlib.compressobj(*args)

    def decompressobj(*args: Any) -> zlib._Decompress:
        made.append("decompressor")
        return zlib.decompressobj(*args)

    monkeypatch.setattr(compression, "compressobj", compressobj)
    monkeypatch.setattr(compression, "decompressobj", decompressobj)
    deflate = Deflate()
    assert made == []
    for _ in range(2):
        deflate.compress(b"Hello")
        assert made == ["compressor"]
    for _ in range(2):
        deflate.decompress(HELLO, -1, True)
        assert made == ["compressor", "decompressor"]


messages = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.tuples(st.integers(0, 9000), st.integers(0, 3)).map(lambda pair: text(*pair)),
    ),
    min_size=1,
    max_size=5,
)


@given(st.integers(8, 15), st.booleans(), messages, st.data())
def test_round_trip_survives_any_cutting(
    wbits: int, reset: bool, sent: list[bytes], data: st.DataObject
) -> None:
    sender = Deflate(compress_wbits=wbits, reset_compress=reset)
    receiver = Deflate(decompress_wbits=wbits, reset_decompress=reset)
    for message in sent:
        wire = sender.compress(message)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=4)))
        bounds = [0, *cuts, len(wire)]
        received = b""
        for index, start in enumerate(bounds[:-1]):
            final = index == len(bounds) - 2
            room = len(message) - len(received)
            received += receiver.decompress(wire[start : bounds[index + 1]], room, final)
        assert received == message


def inflate_all(pieces: list[bytes], reset: bool, limit: int) -> bytes | None:
    """Inflate two messages of the same pieces.

    :returns: their bytes; None after an error, or for a message beyond the limit.
    """
    deflate = Deflate(reset_decompress=reset)
    inflated = b""
    for _ in range(2):
        length = 0
        for index, piece in enumerate(pieces):
            try:
                out = deflate.decompress(piece, limit - length, index == len(pieces) - 1)
            except CriticalProtocolError:
                return None
            length += len(out)
            assert length <= limit + 1
            if length > limit:
                return None
            inflated += out
    return inflated


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([HELLO, HELLO_AGAIN, HELLO_FINAL, HELLO_STORED, TAIL, b"\x03\x00"]),
            st.sampled_from([final_stream(b""), final_stream(b"x" * 500), b"\x00"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
    st.integers(0, 600),
)
def test_any_bytes_give_the_same_in_any_pieces(
    pieces: list[bytes], reset: bool, limit: int
) -> None:
    whole = b"".join(pieces)
    expected = inflate_all([whole], reset, limit)
    assert inflate_all(pieces, reset, limit) == expected
    assert inflate_all([*pieces, b""], reset, limit) == expected
    bytewise = [whole[index : index + 1] for index in range(len(whole))] or [b""]
    assert inflate_all(bytewise, reset, limit) == expected


# Negotiation


@pytest.mark.parametrize(
    "value, expected",
    [
        ("", []),
        (" \t", []),
        (" , ,", []),
        ("foo", [("foo", [])]),
        (" foo\t,bar , ,", [("foo", []), ("bar", [])]),
        ("foo;a", [("foo", [("a", None)])]),
        (
            "foo ; a = 1 ; b=2;c , bar;a",
            [
                ("foo", [("a", "1"), ("b", "2"), ("c", None)]),
                ("bar", [("a", None)]),
            ],
        ),
        ('foo; a="10"', [("foo", [("a", "10")])]),
        ('foo; a="1\\0"; b = "x" ,bar', [("foo", [("a", "10"), ("b", "x")]), ("bar", [])]),
        ("foo; a; a=1", [("foo", [("a", None), ("a", "1")])]),
    ],
)
def test_parse_extensions_gives_names_and_parameters(value: str, expected: object) -> None:
    assert parse_extensions(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        ";", "foo;", "foo bar", "foo; a b", "foo; a=", "foo; =1", 'foo; a="1', 'foo; a=""',
        'foo; a="1 2"', 'foo; a="1,2"', 'foo; a="1"2', 'foo; a="1\\', "foo=1", '"foo"', "foo/1",
        "f\u00fc", "foo; a=\ufffd", "foo\n", "foo\r\n", 'foo; a="\x00"', "foo;;a", "foo; a,;",
    ],
)  # fmt: skip
def test_parse_extensions_refuses_malformed_ones(value: str) -> None:
    with pytest.raises(ValueError, match=r"malformed extensions at|is not a token"):
        parse_extensions(value)


@pytest.mark.parametrize(
    "value", ["a" * 60_000 + " ;" * 5000, 'a; b="' + "\\x" * 30_000, " " * 60_000 + "?"]
)
def test_parse_extensions_takes_linear_time(value: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_extensions(value)


@given(st.text(alphabet='a8;=", \t\\\xe9\n', max_size=40))
def test_any_text_is_extensions_or_malformed(value: str) -> None:
    try:
        extensions = parse_extensions(value)
    except ValueError:
        return
    rebuilt = ", ".join(
        "; ".join([name, *(key if val is None else f"{key}={val}" for key, val in parameters)])
        for name, parameters in extensions
    )
    assert parse_extensions(rebuilt) == extensions


def test_offer_leaves_the_window_to_the_server() -> None:
    assert parse_extensions(OFFER) == [("permessage-deflate", [("client_max_window_bits", None)])]


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("", (15, 15, False, False)),
        ("; client_max_window_bits=8; server_max_window_bits=9", (8, 9, False, False)),
        ("; server_max_window_bits=15; client_max_window_bits=15", (15, 15, False, False)),
        ("; client_no_context_takeover", (15, 15, True, False)),
        ('; server_no_context_takeover; client_max_window_bits="12"', (12, 15, False, True)),
    ],
)
def test_accept_response_gives_the_agreement(
    answer: str, expected: tuple[int, int, bool, bool]
) -> None:
    deflate = accept_response(parse_extensions("permessage-deflate" + answer))
    assert expected == (
        deflate.compress_wbits,
        deflate.decompress_wbits,
        deflate.reset_compress,
        deflate.reset_decompress,
    )


BITS = ("client_max_window_bits", "server_max_window_bits")
RESETS = ("client_no_context_takeover", "server_no_context_takeover")
BAD_BITS = ("7", "16", "08", "0", "x", "1_0", "+9", "-9", "8.0", "115")


@pytest.mark.parametrize(
    "answer, message",
    [
        *(
            (f"{name}={bits}", f"{name} must be 8-15, not '{bits}'")
            for name in BITS
            for bits in BAD_BITS
        ),
        *((name, f"{name} must be 8-15, not missing") for name in BITS),
        *((f"{name}=1", f"{name} takes no value") for name in RESETS),
        *((f"{name}; {name}", f"{name} appears twice") for name in RESETS),
        *((f"{name}=9; {name}=9", f"{name} appears twice") for name in BITS),
        ("x", "unknown parameter 'x' of permessage-deflate"),
        (
            "Client_Max_Window_Bits=9",
            "unknown parameter 'Client_Max_Window_Bits' of permessage-deflate",
        ),
        ("{0}=9", None),
    ],
)
def test_accept_response_refuses_a_wrong_one(answer: str, message: str | None) -> None:
    if message is None:  # braces are no token, but they must not be taken for a template
        extensions: compression.Extensions = [("permessage-deflate", [("{0}", "{1}")])]
        message = "unknown parameter '{0}' of permessage-deflate"
    else:
        extensions = parse_extensions("permessage-deflate; " + answer)
    with pytest.raises(CompressionParameterError) as caught:
        accept_response(extensions)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "answer", ["", "foo", "permessage-deflate, permessage-deflate", "foo, permessage-deflate"]
)
def test_accept_response_wants_one_permessage_deflate(answer: str) -> None:
    with pytest.raises(CompressionParameterError, match="exactly one"):
        accept_response(parse_extensions(answer))


@pytest.mark.parametrize(
    "offer, preferences, expected",
    [
        ("", {}, None),
        ("foo", {}, None),
        ("permessage-deflate", {}, "permessage-deflate"),
        (OFFER, {}, "permessage-deflate"),
        ("foo, permessage-deflate", {}, "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=10",
            {},
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            {},
            "permessage-deflate; server_max_window_bits=15",
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            {"server_max_window_bits": 8},
            "permessage-deflate; server_max_window_bits=8",
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            {"server_max_window_bits": 12},
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            OFFER,
            {"server_max_window_bits": 9, "client_max_window_bits": 8},
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",
        ),
        (
            OFFER + "=10",
            {"client_max_window_bits": 12},
            "permessage-deflate; client_max_window_bits=10",
        ),
        ("permessage-deflate", {"client_max_window_bits": 9}, "permessage-deflate"),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            {},
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate",
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        ("permessage-deflate; x", {}, None),
        ("permessage-deflate; server_max_window_bits", {}, None),
        ("permessage-deflate; x, permessage-deflate", {}, "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            {},
            "permessage-deflate; server_max_window_bits=9",
        ),
    ],
)
def test_answer_offer_gives_the_response(
    offer: str, preferences: dict[str, int], expected: str | None
) -> None:
    answered = answer_offer(parse_extensions(offer), **preferences)  # type: ignore[arg-type]
    assert (answered and answered[1]) == expected


@pytest.mark.parametrize(
    ("wishes", "offer"),
    [
        ({}, OFFER),
        ({"level": 9, "min_size": 100}, OFFER),  # of no concern to the server
        ({"client_max_window_bits": 10}, OFFER + "=10"),
        ({"client_max_window_bits": 15}, OFFER + "=15"),
        ({"server_max_window_bits": 8}, OFFER + "; server_max_window_bits=8"),
        ({"server_max_window_bits": 15}, OFFER + "; server_max_window_bits=15"),
        ({"client_no_context_takeover": True}, OFFER + "; client_no_context_takeover"),
        ({"server_no_context_takeover": True}, OFFER + "; server_no_context_takeover"),
        ({"client_no_context_takeover": False, "server_no_context_takeover": False}, OFFER),
        (
            {
                "server_no_context_takeover": True,
                "client_no_context_takeover": True,
                "server_max_window_bits": 9,
                "client_max_window_bits": 11,
            },
            OFFER + "=11; server_max_window_bits=9; client_no_context_takeover;"
            " server_no_context_takeover",
        ),
    ],
)
def test_offer_has_what_is_wished_for(wishes: CompressOptions, offer: str) -> None:
    assert build_offer(wishes) == offer


# RFC 7692 sections 7.1.1 and 7.1.2.
@pytest.mark.parametrize(
    ("wishes", "answer", "expected"),
    [
        # A hint: whatever the server says to it, we keep to it.
        ({"client_max_window_bits": 10}, "", (10, 15, False, False)),
        ({"client_max_window_bits": 10}, "; client_max_window_bits=10", (10, 15, False, False)),
        ({"client_max_window_bits": 10}, "; client_max_window_bits=8", (8, 15, False, False)),
        ({"client_no_context_takeover": True}, "", (15, 15, True, False)),
        (
            {"client_no_context_takeover": True},
            "; client_no_context_takeover",
            (15, 15, True, False),
        ),
        # The server may ask for what was not offered, and forget its window unasked.
        ({}, "; client_max_window_bits=15; client_no_context_takeover", (15, 15, True, False)),
        ({}, "; server_no_context_takeover; server_max_window_bits=9", (15, 9, False, True)),
        # An order: the server repeats it, or goes beyond it.
        ({"server_max_window_bits": 10}, "; server_max_window_bits=10", (15, 10, False, False)),
        ({"server_max_window_bits": 10}, "; server_max_window_bits=8", (15, 8, False, False)),
        ({"server_max_window_bits": 15}, "; server_max_window_bits=15", (15, 15, False, False)),
        # Servers leave out the largest window, which means the same.
        ({"server_max_window_bits": 15}, "", (15, 15, False, False)),
        (
            {"server_no_context_takeover": True},
            "; server_no_context_takeover",
            (15, 15, False, True),
        ),
        ({"server_no_context_takeover": False}, "", (15, 15, False, False)),
    ],
)
def test_answer_to_wishes_gives_the_agreement(
    wishes: CompressOptions, answer: str, expected: tuple[int, int, bool, bool]
) -> None:
    deflate = accept_response(parse_extensions("permessage-deflate" + answer), wishes)
    assert expected == (
        deflate.compress_wbits,
        deflate.decompress_wbits,
        deflate.reset_compress,
        deflate.reset_decompress,
    )


@pytest.mark.parametrize(
    ("wishes", "answer", "message"),
    [
        (
            {"client_max_window_bits": 10},
            "; client_max_window_bits=11",
            "client_max_window_bits must be at most 10, as offered, not 11",
        ),
        (
            {"server_max_window_bits": 10},
            "; server_max_window_bits=11",
            "server_max_window_bits must be at most 10, as offered, not 11",
        ),
        (
            {"server_max_window_bits": 14},
            "",
            "server_max_window_bits must be at most 14, as offered, not missing",
        ),
        (
            {"server_no_context_takeover": True},
            "; client_no_context_takeover",
            "server_no_context_takeover was offered, and is missing in the answer",
        ),
    ],
)
def test_answer_that_disregards_wishes_is_refused(
    wishes: CompressOptions, answer: str, message: str
) -> None:
    with pytest.raises(CompressionParameterError) as caught:
        accept_response(parse_extensions("permessage-deflate" + answer), wishes)
    assert str(caught.value) == message


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "client_max_window_bits": st.integers(8, 15),
            "server_max_window_bits": st.integers(8, 15),
            "client_no_context_takeover": st.booleans(),
            "server_no_context_takeover": st.booleans(),
            "level": st.integers(-1, 9),
        },
    ),
    messages,
)
def test_whatever_is_wished_for_is_answered_and_understood(wishes: Any, sent: list[bytes]) -> None:
    answered = answer_offer(parse_extensions(build_offer(wishes)))
    assert answered is not None
    theirs, answer = answered
    ours = accept_response(parse_extensions(answer), wishes)
    assert ours.compress_wbits == theirs.decompress_wbits == wishes.get(BITS[0], 15)
    assert ours.decompress_wbits == theirs.compress_wbits == wishes.get(BITS[1], 15)
    assert ours.reset_compress == theirs.reset_decompress == wishes.get(RESETS[0], False)
    assert ours.reset_decompress == theirs.reset_compress == wishes.get(RESETS[1], False)
    for message in sent:
        assert theirs.decompress(ours.compress(message), len(message), True) == message
        assert ours.decompress(theirs.compress(message), len(message), True) == message


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wbits", WBITS)
@pytest.mark.parametrize("level", range(-1, 10))
def test_distances_stay_in_the_window_at_each_level(level: int, wbits: int, reset: bool) -> None:
    deflate = Deflate(compress_wbits=wbits, reset_compress=reset, level=level)
    window = b""
    for data in (text(3000), text(2000, seed=1), text(3000)):
        out, distance = measure(deflate.compress(data), window)
        assert out == data
        assert distance <= 1 << wbits
        window = b"" if reset else window + data


def test_window_of_256_bytes_holds_for_items_that_are_larger_than_bytes() -> None:
    data = text(4000)
    deflate = Deflate(compress_wbits=8)
    out, distance = measure(deflate.compress(memoryview(data).cast("Q")))
    assert (out, distance <= 256) == (data, True)


def test_level_is_that_of_zlib() -> None:
    data = text(20_000)
    sizes = [len(Deflate(level=level).compress(data)) for level in (0, 1, 9)]
    assert sizes[0] > len(data) > sizes[1] >= sizes[2]


def test_compressors_of_different_levels_are_not_mixed_up() -> None:
    data = text(5000)
    stored = Deflate(reset_compress=True, level=0)
    small = Deflate(reset_compress=True, level=9)
    for _ in range(2):
        assert len(stored.compress(data)) > len(data) > len(small.compress(data))


def test_connections_without_takeover_share_their_compressor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    def compressobj(*args: Any) -> zlib._Compress:
        made.append(args)
        return zlib.compressobj(*args)

    monkeypatch.setattr(compression, "compressobj", compressobj)
    monkeypatch.setattr(compression, "_idle_compressors", {})
    for _ in range(5):
        Deflate(compress_wbits=12, reset_compress=True, level=3).compress(b"Hello")
    assert len(made) == 1
    assert made[0][0] == 3
    assert made[0][2] == -12


@given(
    st.sampled_from([OFFER, OFFER + "=9", OFFER + "; server_max_window_bits=8"]),
    st.integers(8, 15),
    st.integers(8, 15),
    st.booleans(),
    st.booleans(),
    messages,
)
def test_client_and_server_agree(
    offer: str, server: int, client: int, forgets: bool, client_forgets: bool, sent: list[bytes]
) -> None:
    answered = answer_offer(
        parse_extensions(offer),
        server_max_window_bits=server,
        client_max_window_bits=client,
        server_no_context_takeover=forgets,
        client_no_context_takeover=client_forgets,
    )
    assert answered is not None
    theirs, answer = answered
    ours = accept_response(parse_extensions(answer))
    assert (ours.compress_wbits, ours.reset_compress) == (
        theirs.decompress_wbits,
        theirs.reset_decompress,
    )
    assert (ours.decompress_wbits, ours.reset_decompress) == (
        theirs.compress_wbits,
        theirs.reset_compress,
    )
    for message in sent:
        assert theirs.decompress(ours.compress(message), len(message), True) == message
        assert ours.decompress(theirs.compress(message), len(message), True) == message


def test_compression_errors_are_handshake_errors() -> None:
    assert issubclass(CompressionParameterError, HandshakeError)
