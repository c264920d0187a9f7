"""The object store's pure pieces: chunk decoding, ranges, conditions, listing pages, combined checksums."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localaws.errors import AwsError
from localaws.protocol.sigv4 import Signed
from localaws.services.s3 import checksums
from localaws.services.s3.chunked import ChunkDecoder, ChunkSignatures
from localaws.services.s3.index import Index
from localaws.services.s3.listing import page
from localaws.services.s3.records import Bucket, Extent, Object
from localaws.services.s3.request import check_bucket_name, check_conditions, range_of
from localaws.services.s3.send import pieces
from localaws.state.database import Database


def _chunked(chunks: list[bytes], trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x;chunk-signature=0\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return body + b"0;chunk-signature=0\r\n" + trailer + b"\r\n"


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=6),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60),
)
def test_chunks_decode_however_the_network_cuts_them(chunks: list[bytes], cuts: list[int]) -> None:
    body = _chunked(chunks, b"x-amz-checksum-crc32:AAAAAA==\r\n")
    decoder, payload, position = ChunkDecoder(None), b"", 0
    while position < len(body):
        step = cuts[position % len(cuts)]
        payload += b"".join(decoder.feed(body[position : position + step]))
        position += step
    decoder.finish()
    assert payload == b"".join(chunks)
    assert decoder.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


@given(st.binary(max_size=200))
def test_no_chunked_body_can_break_the_decoder(body: bytes) -> None:
    decoder = ChunkDecoder(None)
    try:
        decoder.feed(body)
        decoder.finish()
    except AwsError as error:
        assert error.status == 400


def test_a_chunked_body_that_stops_early_is_incomplete() -> None:
    decoder = ChunkDecoder(None)
    decoder.feed(_chunked([b"abc"])[:-10])
    with pytest.raises(AwsError, match="IncompleteBody"):
        decoder.finish()


# The example in "Signature calculations for the authorization header: transferring payload in multiple
# chunks", S3 API Reference.
_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
_CHUNKS = (
    (b"a" * 65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
)


def _signed_decoder() -> ChunkDecoder:
    signed = Signed("AKIA", "20130524", "us-east-1", "s3", ("host",), _SEED, "20130524T000000Z", None)
    return ChunkDecoder(ChunkSignatures(signed, _SECRET))


def _signed_body(chunks: tuple[tuple[bytes, str], ...]) -> bytes:
    return b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(c), s.encode(), c) for c, s in chunks)


def test_signed_chunks_of_the_documentation_are_accepted() -> None:
    decoder = _signed_decoder()
    payload = b"".join(decoder.feed(_signed_body(_CHUNKS)))
    decoder.finish()
    assert payload == b"a" * 66_560


@pytest.mark.parametrize(
    "body",
    [
        _signed_body(_CHUNKS).replace(b"aaa", b"aab", 1),
        _signed_body((_CHUNKS[1], _CHUNKS[0], _CHUNKS[2])),
        _signed_body((_CHUNKS[0], _CHUNKS[2])),
        _signed_body((*_CHUNKS[:2], (b"", "0" * 64))),
    ],
    ids=["changed", "reordered", "left out", "last signature wrong"],
)
def test_chunks_that_were_tampered_with_are_refused(body: bytes) -> None:
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        _signed_decoder().feed(body)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-99", (5, 5)),
        # S3 answers these with the whole object.
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert range_of(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_outside_the_object_is_refused(header: str) -> None:
    with pytest.raises(AwsError) as caught:
        range_of(header, 10)
    assert (caught.value.code, caught.value.status) == ("InvalidRange", 416)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if-match": '"e"'}, 200),
        ({"if-match": '"other", "e"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"other"'}, 412),
        ({"if-none-match": '"e"'}, 304),
        ({"if-none-match": '"other"'}, 200),
        ({"if-modified-since": "Thu, 01 Jan 1970 00:01:40 GMT"}, 304),
        ({"if-modified-since": "Thu, 01 Jan 1970 00:01:39 GMT"}, 200),
        ({"if-unmodified-since": "Thu, 01 Jan 1970 00:01:39 GMT"}, 412),
        ({"if-unmodified-since": "no date"}, 200),
        # An ETag outweighs a date.
        ({"if-match": '"e"', "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ({"if-none-match": '"other"', "if-modified-since": "Thu, 01 Jan 1970 00:01:40 GMT"}, 200),
    ],
)
def test_conditions(headers: dict[str, str], status: int) -> None:
    if status == 200:
        check_conditions(headers, "e", 100.5)
        return
    with pytest.raises(AwsError) as caught:
        check_conditions(headers, "e", 100.5)
    assert caught.value.status == status


@pytest.mark.parametrize("name", ["abc", "a.b-c", "0" * 63])
def test_bucket_names_that_s3_takes(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name", ["ab", "A.b", "a..b", "-abc", "abc.", "1.2.3.4", "a" * 64, "..", "a/b", "a\x00b"]
)
def test_bucket_names_that_s3_refuses(name: str) -> None:
    with pytest.raises(AwsError, match="InvalidBucketName"):
        check_bucket_name(name)


@given(sizes=st.lists(st.integers(0, 9), max_size=6), start=st.integers(0, 60), length=st.integers(0, 60))
def test_pieces_cover_exactly_the_wanted_bytes(sizes: list[int], start: int, length: int) -> None:
    files = {
        str(number): bytes(range(number * 10, number * 10 + size + 1)) for number, size in enumerate(sizes)
    }
    extents = [Extent(str(number), 1, size) for number, size in enumerate(sizes)]
    whole = b"".join(content[1:] for content in files.values())
    found = b"".join(files[name][at : at + size] for name, at, size in pieces(extents, start, length))
    assert found == whole[start : start + length]


@given(parts=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5))
def test_crcs_of_parts_combine_to_the_crc_of_the_whole(parts: list[bytes]) -> None:
    for algorithm in ("crc32", "crc32c", "crc64nvme"):

        def value(data: bytes, algorithm: str = algorithm) -> str:
            checksum = checksums.new(algorithm)
            checksum.update(data)
            return checksums.encoded(checksum.digest())

        combined = checksums.full_object(algorithm, [(value(part), len(part)) for part in parts])
        assert combined == value(b"".join(parts))


def test_a_composite_checksum_is_that_of_the_parts_digests() -> None:
    digests = [zlib.crc32(part).to_bytes(4, "big") for part in (b"a", b"b")]
    expected = checksums.encoded(zlib.crc32(b"".join(digests)).to_bytes(4, "big")) + "-2"
    assert checksums.composite("crc32", [checksums.encoded(digest) for digest in digests]) == expected


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("index")
    made = Index(Database(folder / "db.sqlite3"), folder / "objects")
    made.create_bucket(Bucket("bucket", "us-east-1", 0.0), {})
    return made


_KEYS = st.text(alphabet=["a", "b", "/", "é", "\ud7ff", "\ue000", "\U0010ffff"], min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.sets(_KEYS, max_size=25),
    prefix=st.text(alphabet=["a", "/"], max_size=2),
    delimiter=st.sampled_from(["", "/", "a", "\U0010ffff"]),
    max_keys=st.integers(1, 4),
)
def test_pages_together_list_every_key_once_in_order(
    index: Index, keys: set[str], prefix: str, delimiter: str, max_keys: int
) -> None:
    for old in index.scan("bucket", "", True, 1000):
        index.delete_version("bucket", old.key, old.version_id)
    for key in keys:
        index.put(Object("bucket", key, 0, "e", 0.0, ()))
    expected: list[str] = []
    for key in sorted(keys, key=str.encode):
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            shown = key if cut < 0 else key[: cut + len(delimiter)]
            if shown not in expected:
                expected.append(shown)
    listed: list[str] = []
    after = ""
    for _ in range(len(keys) + 1):
        found = page(index, "bucket", prefix, delimiter, after, max_keys)
        assert len(found.objects) + len(found.prefixes) <= max_keys
        listed += sorted([item.key for item in found.objects] + found.prefixes, key=str.encode)
        if not found.truncated:
            break
        after = found.last
    assert listed == expected


def test_files_without_a_record_are_swept_at_the_next_start(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite3")
    first = Index(database, tmp_path / "objects")
    kept, kept_path = first.new_file()
    lost, lost_path = first.new_file()
    for path in (kept_path, lost_path):
        path.write_bytes(b"x")
    first.put(Object("bucket", "key", 1, "e", 0.0, (Extent(kept, 0, 1),)))
    Index(database, tmp_path / "objects")
    assert kept_path.exists()
    assert not lost_path.exists()
    database.close()
    assert lost != kept
