from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from fed_assets.errors import FedAssetsError, KeyRefused, SealBroken
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.envelope import HEADER_BYTES, TAG_BYTES, Binding, bind, is_sealed, rewrap
from fed_assets.hospital.vault import CACHED_CHUNKS, CHUNK_BYTES, SealedReader, SealingWriter
from fed_assets_tests.hospital.keys import a_key

OBJECT = "datasets/3fa9/images.npy"
BINDING = Binding("north", "3fa9", OBJECT)
STEP = CHUNK_BYTES + TAG_BYTES
THREE_CHUNKS = 2 * CHUNK_BYTES + 777


def plain_text(size: int) -> bytes:
    return os.urandom(size)


def seal(path: Path, plain: bytes, key: HospitalKey, binding: Binding = BINDING) -> Path:
    with SealingWriter(path, binding, key) as file:
        file.write(plain)
    return path


def unseal(path: Path, key: HospitalKey, binding: Binding = BINDING) -> bytes:
    with SealedReader(path, binding, key) as file:
        return file.readall()


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


@pytest.fixture
def key(tmp_path: Path) -> HospitalKey:
    return a_key(tmp_path)


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, THREE_CHUNKS]
)
def test_what_is_sealed_comes_back(tmp_path: Path, key: HospitalKey, size: int) -> None:
    plain = plain_text(size)
    path = seal(tmp_path / "a", plain, key)
    assert unseal(path, key) == plain
    chunks = max(1, -(-size // CHUNK_BYTES))
    assert path.stat().st_size == HEADER_BYTES + size + chunks * TAG_BYTES
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_sealed_file_shows_nothing_of_what_is_in_it(tmp_path: Path, key: HospitalKey) -> None:
    plain = b"patient 4711 " * 20_000
    raw = seal(tmp_path / "a", plain, key).read_bytes()
    assert b"patient" not in raw
    again = seal(tmp_path / "b", plain, key).read_bytes()
    assert raw[HEADER_BYTES:] != again[HEADER_BYTES:]  # each file has a key of its own


def test_it_is_written_in_a_stream_of_any_pieces(tmp_path: Path, key: HospitalKey) -> None:
    plain = plain_text(300_000)
    with SealingWriter(tmp_path / "a", BINDING, key) as file:
        for start in range(0, len(plain), 7001):
            file.write(plain[start : start + 7001])
        assert file.tell() == len(plain)
    assert unseal(tmp_path / "a", key) == plain


def test_it_is_read_at_any_place(tmp_path: Path, key: HospitalKey) -> None:
    plain = plain_text(THREE_CHUNKS)
    seal(tmp_path / "a", plain, key)
    with SealedReader(tmp_path / "a", BINDING, key) as file:
        for start, length in [(CHUNK_BYTES - 3, 7), (0, 5), (THREE_CHUNKS - 4, 99), (9**9, 1)]:
            file.seek(start)
            assert file.read(length) == plain[start : start + length]
        assert file.seek(-4, os.SEEK_END) == THREE_CHUNKS - 4
        assert file.readall() == plain[-4:]
        assert file.read(1) == b""


def test_a_read_opens_only_the_chunks_that_it_needs(tmp_path: Path, key: HospitalKey) -> None:
    plain = plain_text(THREE_CHUNKS)
    flip(seal(tmp_path / "a", plain, key), HEADER_BYTES + STEP + 5)
    with SealedReader(tmp_path / "a", BINDING, key) as file:
        assert file.read(CHUNK_BYTES) == plain[:CHUNK_BYTES]
        with pytest.raises(SealBroken, match="chunk 2 of 3 differs"):
            file.read(1)
        file.seek(2 * CHUNK_BYTES)
        assert file.read(777) == plain[-777:]


def test_reading_a_large_file_holds_little_of_it_in_memory(
    tmp_path: Path, key: HospitalKey
) -> None:
    """Of a file of 64 MiB, of which 32 MiB are kept."""
    chunks = 2 * CACHED_CHUNKS
    with SealingWriter(tmp_path / "a", BINDING, key) as file:
        for number in range(chunks):
            file.write(number.to_bytes(2) * (CHUNK_BYTES // 2))
    tracemalloc.start()
    try:
        with SealedReader(tmp_path / "a", BINDING, key) as file:
            for number in range(chunks):
                assert file.read(CHUNK_BYTES)[:2] == number.to_bytes(2)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept_bytes = CACHED_CHUNKS * CHUNK_BYTES
    assert kept_bytes < peak_bytes < 1.1 * kept_bytes


@pytest.mark.parametrize(
    "place",
    [
        *(0, 7),  # magic
        *(8, 15),  # length
        *(16, 31),  # tag
        *(128, 144, 150, 170, 200),  # the wrapped key, and the checksum over it
        *(HEADER_BYTES, HEADER_BYTES + CHUNK_BYTES - 1, HEADER_BYTES + STEP - 1),
        *(HEADER_BYTES + STEP, HEADER_BYTES + 2 * STEP + 10, HEADER_BYTES + 2 * STEP + 777),
    ],
)
def test_a_flipped_bit_is_refused_by_the_objects_name(
    tmp_path: Path, key: HospitalKey, place: int
) -> None:
    path = seal(tmp_path / "a", plain_text(THREE_CHUNKS), key)
    flip(path, place)
    with pytest.raises(SealBroken, match=f"Where: {OBJECT}"):
        unseal(path, key)


def chunk(raw: bytes, number: int) -> bytes:
    return raw[HEADER_BYTES + number * STEP : HEADER_BYTES + (number + 1) * STEP]


def put_together(raw: bytes, *numbers: int) -> bytes:
    return raw[:HEADER_BYTES] + b"".join(chunk(raw, number) for number in numbers)


def with_length(raw: bytes, length: int) -> bytes:
    """A file whose header says another length, so that only its tag can tell."""
    return raw[:8] + length.to_bytes(8) + raw[16:]


CHANGES = {
    "truncated in the last chunk": lambda raw: raw[:-1],
    "truncated by the last chunk": lambda raw: put_together(raw, 0, 1),
    "truncated, with a length that fits": lambda raw: with_length(
        put_together(raw, 0, 1), 2 * CHUNK_BYTES
    ),
    "truncated in the header": lambda raw: raw[:1000],
    "empty": lambda raw: b"",
    "two chunks exchanged": lambda raw: put_together(raw, 1, 0, 2),
    "a chunk dropped": lambda raw: put_together(raw, 0, 2),
    "a chunk dropped, with a length that fits": lambda raw: with_length(
        put_together(raw, 0, 2), CHUNK_BYTES + 777
    ),
    "a chunk repeated": lambda raw: put_together(raw, 0, 0, 2),
    "something appended": lambda raw: raw + b"\0",
    "a chunk appended": lambda raw: raw + chunk(raw, 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_chunks_that_are_not_as_they_were_are_refused(
    tmp_path: Path, key: HospitalKey, change: str
) -> None:
    path = seal(tmp_path / "a", plain_text(THREE_CHUNKS), key)
    assert len(unseal(path, key)) == THREE_CHUNKS
    path.write_bytes(CHANGES[change](path.read_bytes()))
    with pytest.raises(SealBroken, match=f"Where: {OBJECT}"):
        unseal(path, key)


def test_a_chunk_of_another_file_of_the_same_hospital_is_refused(
    tmp_path: Path, key: HospitalKey
) -> None:
    one, other = (seal(tmp_path / n, plain_text(THREE_CHUNKS), key).read_bytes() for n in "ab")
    mixed = one[: HEADER_BYTES + STEP] + chunk(other, 1) + chunk(one, 2)
    (tmp_path / "a").write_bytes(mixed)
    with pytest.raises(SealBroken, match="chunk 2 of 3 differs"):
        unseal(tmp_path / "a", key)


@pytest.mark.parametrize(
    "other",
    [
        replace(BINDING, name="datasets/3fa9/manifest.parquet"),
        replace(BINDING, version="77b0"),
        replace(BINDING, hospital="south"),
        Binding("northdatasets", "", "/3fa9/images.npy"),
        Binding("north", "3", f"fa9{OBJECT}"),
    ],
)
def test_a_file_is_opened_as_nothing_else(tmp_path: Path, key: HospitalKey, other: Binding) -> None:
    path = seal(tmp_path / "a", plain_text(9), key)
    with pytest.raises(SealBroken, match="sealed as another object, dataset or hospital"):
        unseal(path, key, other)


def test_another_hospitals_file_is_refused(tmp_path: Path, key: HospitalKey) -> None:
    south = a_key(tmp_path, "south")
    path = seal(tmp_path / "a", plain_text(9), south, replace(BINDING, hospital="south"))
    with pytest.raises(KeyRefused, match=f"cannot be opened. Where: {OBJECT}.*does not hold"):
        unseal(path, key)


def test_another_hospitals_key_is_refused(tmp_path: Path, key: HospitalKey) -> None:
    path = seal(tmp_path / "a", plain_text(9), key)
    a_key(tmp_path, "south").path.replace(key.path)
    with pytest.raises(KeyRefused, match=f"Where: {OBJECT}.*another hospital's"):
        unseal(path, key)


def test_a_file_that_was_not_sealed_is_refused(tmp_path: Path, key: HospitalKey) -> None:
    (tmp_path / "a").write_bytes(b"\x93NUMPY" + bytes(5000))
    assert not is_sealed(tmp_path / "a")
    with pytest.raises(SealBroken, match="no sealed file"):
        unseal(tmp_path / "a", key)


def test_a_file_left_by_an_error_cannot_be_opened(tmp_path: Path, key: HospitalKey) -> None:
    with pytest.raises(RuntimeError), SealingWriter(tmp_path / "a", BINDING, key) as file:
        file.write(plain_text(THREE_CHUNKS))
        raise RuntimeError
    with pytest.raises(SealBroken, match=f"Where: {OBJECT}"):
        unseal(tmp_path / "a", key)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, key: HospitalKey) -> None:
    seal(tmp_path / "a", b"first", key)
    with pytest.raises(FileExistsError):
        SealingWriter(tmp_path / "a", BINDING, key)
    assert unseal(tmp_path / "a", key) == b"first"


def test_no_message_shows_where_the_hospital_keeps_the_file(
    tmp_path: Path, key: HospitalKey
) -> None:
    path = seal(tmp_path / "person7_bacteria", plain_text(9), key)
    flip(path, HEADER_BYTES)
    with pytest.raises(FedAssetsError) as caught:
        unseal(path, key)
    assert "person7" not in str(caught.value)


def test_a_file_is_bound_anew_without_its_chunks(tmp_path: Path, key: HospitalKey) -> None:
    path = seal(tmp_path / "a", b"pixels", key)
    body = path.read_bytes()[HEADER_BYTES:]
    later = Binding("north", "77b0", "datasets/77b0/images.npy")
    with pytest.raises(SealBroken):
        bind(path, later, BINDING, key)
    bind(path, BINDING, later, key)
    assert path.read_bytes()[HEADER_BYTES:] == body
    assert unseal(path, key, later) == b"pixels"
    with pytest.raises(SealBroken):
        unseal(path, key)


def test_a_rotated_key_wraps_anew_and_leaves_the_chunks(tmp_path: Path, key: HospitalKey) -> None:
    plain = plain_text(THREE_CHUNKS)
    path = seal(tmp_path / "a", plain, key)
    before = path.read_bytes()
    assert not rewrap(path, OBJECT, key)
    key.renew()
    assert unseal(path, key) == plain
    assert rewrap(path, OBJECT, key)
    key.forget_old()
    after = path.read_bytes()
    assert after[HEADER_BYTES:] == before[HEADER_BYTES:]
    assert after[:HEADER_BYTES] != before[:HEADER_BYTES]
    assert unseal(path, key) == plain
    assert not rewrap(path, OBJECT, key)


def test_without_being_wrapped_anew_a_file_goes_with_the_old_key(
    tmp_path: Path, key: HospitalKey
) -> None:
    path = seal(tmp_path / "a", b"pixels", key)
    key.renew()
    key.forget_old()
    with pytest.raises(KeyRefused, match=f"Where: {OBJECT}.*does not hold"):
        unseal(path, key)


@pytest.mark.parametrize("written", [1, 100, 500, 960])
def test_a_rotation_that_power_loss_broke_off_loses_nothing(
    tmp_path: Path, key: HospitalKey, written: int
) -> None:
    """Whatever part of the second slot was written, the first still opens, and rotation goes on."""
    path = seal(tmp_path / "a", b"pixels", key)
    before = path.read_bytes()
    key.renew()
    rewrap(path, OBJECT, key)
    second = path.read_bytes()[1088:2048]
    path.write_bytes(before[:1088] + second[:written].ljust(960, b"\0") + before[2048:])
    assert unseal(path, key) == b"pixels"
    assert rewrap(path, OBJECT, key)
    key.forget_old()
    assert unseal(path, key) == b"pixels"
