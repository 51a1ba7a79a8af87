"""Checksums against published values, and what differs from a manifest."""

import hashlib
import io

import pytest

from artifacts import checksums, storage

# RFC 3720, appendix B.4: CRC-32C of 32 bytes, as numbers.
RFC_3720 = {bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43, bytes(range(32)): 0x46DD794E}


@pytest.mark.parametrize("data", RFC_3720)
def test_crc32c_is_that_of_the_rfc(data, tmp_path):
    assert checksums.crc32c(data) == RFC_3720[data]
    written = io.BytesIO()
    running = checksums.SummedFile(written)
    for byte in data:
        running.write(bytes([byte]))
    assert (running.tell(), running.hexdigest(), written.getvalue()) == (32, f"{RFC_3720[data]:08x}", data)
    storage.write_bytes(str(tmp_path / "file"), data)
    described = checksums.describe(str(tmp_path / "file"), records=3)
    assert described == checksums.describe_bytes(data, records=3)
    assert described.model_dump() == {"bytes": 32, "crc32c": f"{RFC_3720[data]:08x}", "records": 3}


def test_each_damaged_file_is_named(tmp_path):
    for name in ("a", "deep/b", "c", "d"):
        storage.write_bytes(str(tmp_path / name), name.encode())
    described = checksums.describe_all(str(tmp_path))
    assert list(checksums.problems(str(tmp_path), described)) == []
    (tmp_path / "a").unlink()
    (tmp_path / "deep" / "b").write_bytes(b"deep/x")
    (tmp_path / "c").write_bytes(b"longer")
    (tmp_path / "more").write_bytes(b"is nothing that was described")
    assert list(checksums.problems(str(tmp_path), described)) == [
        "a is missing",
        "c has 6 bytes where the manifest has 1",
        "deep/b is damaged: its checksum is not the manifest's",
    ]
    assert list(checksums.problems(str(tmp_path), {"deep/b": described["deep/b"]}, check_bytes=False)) == []


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert checksums.digest_of({"a": [1, None], "b": 2.5}) == checksums.digest_of({"b": 2.5, "a": [1, None]})
    assert checksums.digest_of("é") == hashlib.sha256(b'"\\u00e9"').hexdigest()
