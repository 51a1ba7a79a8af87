"""Lists, weights and catalogues as any system writes them: all are read by one rule."""

import gzip
import io
import sys

import numpy as np
import pytest

from artifacts import catalogue, id_lists, privacy
from artifacts.id_lists import IdList
from configs.errors import UserError
from configs.settings import PrivacySettings
from pipeline import hash_ids
from serving.models.deletion import DeletionList
from trainer.als import weights

KEY = b"0123456789abcdef"
LISTS = {
    "UTF-8": b"anna\nbob\n",
    "a byte order mark": b"\xef\xbb\xbfanna\nbob",
    "UTF-16": "anna\r\nbob\r\n".encode("utf-16"),
    "UTF-16, the other way": b"\xfe\xff" + "anna\nbob".encode("utf-16-be"),
    "Windows": b"anna\r\nbob\r\n",
    "an old Mac": b"anna\rbob\r",
    "blanks": b" anna\nbob\t \n\n",
    "lines of blanks alone": b' \nanna\n\t\n""\nbob\n\xc2\xa0\n',
    "blanks of the web": "\u200banna\u00a0\n\u00a0bob\u2003\n".encode(),
    "two files with byte order marks": b"\xef\xbb\xbfanna\n\xef\xbb\xbfbob\n",
    "a header in words": b"Visitor ID\nanna\nbob\n",
    "CSV": b'"visitorId"\n"anna"\n"bob"\n',
    "twice": b"bob\nanna\nbob\nanna\n",
}
NOT_TEXT = {
    "Latin-1": ("anna,1\ncafé,2\n".encode("latin-1"), "not UTF-8 in line 2, but maybe Latin-1: save it in UTF-8"),
    "UTF-16 without a mark": ("anna,1".encode("utf-16-le"), "NUL characters"),
    "UTF-32": ("anna,1".encode("utf-32"), "is not text but UTF-32; save it in UTF-8"),
    "half a character": (b"\xff\xfea", "not UTF-8 in line 1"),
    "gzip": (gzip.compress(b"anna,1\n"), "is not text but gzip; decompress it"),
    "Excel": (b"PK\x03\x04\x14\0anna", "is not text but zip, or an Excel file; .*save the sheet as CSV"),
    "Parquet": (b"PAR1\x15\x04anna", "is not text but Parquet"),
}


@pytest.fixture
def vocabulary(tmp_path):
    (tmp_path / "vocabulary").write_bytes(b"carl\nanna\nbob\n")
    return str(tmp_path / "vocabulary")


def readers(path, vocabulary):
    """Return everything that reads such a file, by its setting."""
    return {
        "prediction.only": lambda: IdList.read(path, "prediction.only"),
        "prediction.allow": lambda: id_lists.allowed([b"anna"], path, None),
        "prediction.block": lambda: id_lists.allowed([b"anna"], None, path),
        "privacy.deleted_visitors": lambda: privacy.read_deleted(PrivacySettings(deleted_visitors=path), None),
        "serving.deleted_visitors": lambda: DeletionList(path),
        "catalogue": lambda: catalogue.read(path),
        "weights": lambda: weights.from_file(path, "weights", vocabulary, 3, 1.0),
    }


@pytest.mark.parametrize("name", LISTS)
def test_a_list_as_any_system_writes_it(tmp_path, name):
    (tmp_path / "list").write_bytes(LISTS[name])
    path = str(tmp_path / "list")
    for ids in (
        privacy.read_deleted(PrivacySettings(deleted_visitors=path), None).keys(),
        DeletionList(path).ids,
        IdList.read(path, "x").ids,
    ):
        assert {b"anna", b"bob"} <= ids and not ids & {b"", b"ann", b"carl"}
    assert id_lists.allowed([b"carl", b"anna", b"bob"], path, None) == [False, True, True]
    assert id_lists.allowed([b"carl", b"anna", b"bob"], None, path) == [True, False, False]
    listed = IdList.read(path, "x")
    assert (listed.found({b"anna", b"bob"}), listed.unknown({b"anna", b"bob"})) == (2, [])
    assert listed.unknown({b"carl"}) in ([b"anna", b"bob"], [b"bob", b"anna"])


@pytest.mark.parametrize("name", LISTS)
def test_hashes_of_a_list_as_any_system_writes_it(tmp_path, monkeypatch, capfdbinary, name):
    (tmp_path / "config.yaml").write_text("privacy: {hash_key_env: A_KEY}\n")
    monkeypatch.setenv("A_KEY", KEY.decode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LISTS[name])))
    hash_ids.main(["--config", str(tmp_path / "config.yaml")])
    sys.stdout.flush()
    written = capfdbinary.readouterr().out.split()
    assert {privacy.hashed(KEY, b"anna"), privacy.hashed(KEY, b"bob")} <= set(written)
    assert len(written) == len(set(written)) and privacy.hashed(KEY, b"") not in written


def test_an_id_may_begin_as_a_file_of_another_format(tmp_path):
    (tmp_path / "list").write_text("ORChid\nPAR1S\n%PDF\nBZh\n")
    assert IdList.read(str(tmp_path / "list"), "x").ids == {b"ORChid", b"PAR1S", b"%PDF", b"BZh"}


def test_an_id_with_blanks_is_meant_as_it_is_too():
    listed = IdList.parse('anna \n"a ""b"""\n"\nid\n')
    assert listed.lines == ((b"anna ", b"anna"), (b'"a ""b"""', b'a "b"'), (b'"',), (b"id",))
    assert listed.unknown({b"anna "}) == [b'a "b"', b'"', b"id"]  # only the first line can be a header


@pytest.mark.parametrize("name", NOT_TEXT)
def test_what_is_not_utf_8_is_refused_by_name(tmp_path, vocabulary, name):
    data, said = NOT_TEXT[name]
    (tmp_path / "file").write_bytes(data)
    path = str(tmp_path / "file")
    for setting, read in readers(path, vocabulary).items():
        with pytest.raises(UserError, match=said) as error:
            read()
        assert str(error.value).startswith(f"{setting} {path} ") and "anna" not in str(error.value)


@pytest.mark.parametrize("name", ["", "s3://bucket/x", "file:///x", "none"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, vocabulary, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for setting, read in readers(name or ".", vocabulary).items():
        with pytest.raises(UserError, match=r"cannot be read: Is a dir|is not supported|does not exist") as error:
            read()
        assert setting in str(error.value) or "://" in name


WEIGHTS = {
    "UTF-8": b"anna,0.5\nbob,2\n",
    "a byte order mark": b"\xef\xbb\xbfanna,0.5\nbob,2\n",
    "UTF-16": "visitorId,weight\r\nanna,0.5\r\nbob,2\r\n".encode("utf-16"),
    "Windows": b"visitorId,weight\r\nanna,0.5\r\nbob,2\r\n",
    "an old Mac": b"anna,0.5\rbob,2\r",
    "blanks": b"anna ,0.5\n\tbob, 2 \n\n",
    "quotes": b'"anna","0.5"\n"bob","2"\n',
    "other ids": b"zoe,9\nanna,0.5\nbob,2\n",
    "semicolons": b"\nanna;0.5\nbob;2\n",
    "a delimiter told to Excel": b"sep=|\r\nanna|0.5\r\nbob|2\r\n",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_as_any_system_writes_them(tmp_path, vocabulary, name):
    (tmp_path / "weights.csv").write_bytes(WEIGHTS[name])
    read = weights.from_file(str(tmp_path / "weights.csv"), "weights", vocabulary, 3, 1.0)
    np.testing.assert_array_equal(read.values, np.float32([1, 0.5, 2]))
    assert (read.found, read.listed) == (2, 2 + (name == "other ids"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"anna;0,5\nbob;2\n", "expected id,weight, with a comma"),
        (b"anna,o.5\nbob,2\n", "line 1: expected id,weight"),
        (b"contentId,weight,comment\nanna,0.1,x\n", "line 1: expected id,weight"),
        (b"anna,1\nanna ,2\n", "line 2: the id is in the file twice"),
        (b"anna,nan\n", "line 1: the weight must be finite"),
        (b"anna,-1\n", "line 1: the weight must be finite and not negative"),
        (b'anna,1\n"bob,2\n', "line 2: unexpected end of data; write it as a CSV"),
        (b"zoe,1\n", "none of its ids is in the dataset"),
        (b"", "none of its ids is in the dataset"),
    ],
)
def test_weights_that_are_wrong_are_refused_without_their_ids(tmp_path, vocabulary, data, said):
    (tmp_path / "weights.csv").write_bytes(data)
    with pytest.raises(UserError, match=said) as error:
        weights.from_file(str(tmp_path / "weights.csv"), "weights", vocabulary, 3, 1.0)
    assert "anna" not in str(error.value) and "zoe" not in str(error.value)


CATALOGUES = {
    "UTF-8": b"contentId,title,category\ntea,Green tea,Drinks\n",
    "a byte order mark": b"\xef\xbb\xbfcontentId,title,category\r\ntea,Green tea,Drinks\r\n",
    "UTF-16": "contentId,title,category\ntea,Green tea,Drinks\n".encode("utf-16"),
    "an old Mac": b"contentId,title,category\rtea,Green tea,Drinks\r",
    "blanks and columns": b'price, title ,contentId ,"category"\n\n9,Green tea,tea ,Drinks\n',
    "twice": b"contentId,title,category\ntea,old,old\ntea,Green tea,Drinks\n",
    "semicolons": b"contentId;title;category\ntea;Green tea;Drinks\n",
    "a sheet of Windows": "contentId\ttitle\tcategory\r\ntea\tGreen tea\tDrinks\r\n".encode("utf-16"),
    "a delimiter told to Excel": b"\xef\xbb\xbfSEP=;\ncontentId;title;category\ntea;Green tea;Drinks\n",
    "bars": b'contentId|title|category\ntea|"Green tea"|Drinks\n',
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_catalogue_as_any_system_writes_it(tmp_path, name):
    (tmp_path / "catalogue.csv").write_bytes(CATALOGUES[name])
    assert catalogue.read(str(tmp_path / "catalogue.csv"))["tea"] == ("Green tea", "Drinks")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (b"Contentid,Title,Category\ntea,T,D\n", "has no column contentId: name the column of the items' ids so"),
        (b"", "has no column contentId"),
        (b"contentId,title,category\ntea,T\n", "line 2 has 2 columns where 3 are due"),
        (b"contentId,title,category\n\ntea,T,D,extra\n", "line 3 has 4 columns where 3 are due; quote values"),
        (b"contentId,title,category\ntea,T\0ea,D\n", "NUL characters"),
        (b"contentId,title,category\ntea," + b"x" * 200_000 + b",D\n", "a value is longer than 131,072|field larger"),
        (b'contentId,title,category\ntea,"T,D\n', "unexpected end of data"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused_in_a_line(tmp_path, rows, said):
    (tmp_path / "catalogue.csv").write_bytes(rows)
    with pytest.raises(UserError, match=said) as error:
        catalogue.read(str(tmp_path / "catalogue.csv"))
    assert "tea" not in str(error.value) and len(str(error.value).splitlines()) == 1
