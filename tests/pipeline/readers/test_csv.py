"""CSV row by row: each odd row is lost alone, whatever the blocks; against Python's csv module."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import CsvSettings
from pipeline.readers.csv_rows import CsvReader
from pipeline.readers.records import MissingColumnError
from pipeline.sources import columns

NAMES = ["visitorId", "contentId"]
NAMES_ALONE = b"visitorId,contentId"
SOUND = [f"v{n},c{n % 5},{n}".encode() for n in range(400)]
OF_SOUND = [(f"v{n}".encode(), f"c{n % 5}".encode()) for n in range(400)]
BLOCKS = pytest.mark.parametrize("block_bytes", [64, 999, 1 << 23])


def read(data: bytes, **sizes):
    """Return the rows with their numbers, and the malformed ones."""
    rows, numbers, malformed = [], [], []
    for raw in CsvReader(NAMES, **sizes).read(io.BytesIO(data)):
        rows += [tuple(row.values()) for row in raw.columns.to_pylist()]
        numbers += raw.numbers.tolist()
        malformed += [number for number, _ in raw.malformed]
    return rows, numbers, malformed


def table(lines: list[bytes], header: bytes = b"visitorId,contentId,n", end: bytes = b"\n") -> bytes:
    return b"\n".join([header, *lines]) + end


@BLOCKS
@pytest.mark.parametrize("position", [0, 1, 200, 400])
@pytest.mark.parametrize(
    "odd",
    [
        b'"ann,tea,5',
        b'ann,"tea,5',
        b"ann",
        b"ann,tea,5,6",
        b'ann,"tea"5,"6',
        b"a,\xff",
        b"a\rb,c,d",
        b'"a\xff,b',
        b'a,b,"',
    ],
)
def test_an_odd_row_is_lost_alone(odd, position, block_bytes):
    data = table([*SOUND[:position], odd, *SOUND[position:]])
    rows, numbers, malformed = read(data, block_bytes=block_bytes)
    assert rows == OF_SOUND
    assert malformed == [position + 1]
    assert numbers == [n for n in range(1, 402) if n != position + 1]


@BLOCKS
@pytest.mark.parametrize("position", [0, 1, 200, 400])
@pytest.mark.parametrize(
    ("odd", "row"),
    [
        (b'"ann","te,a",5', (b"ann", b"te,a")),
        (b'ann,5" screen,1', (b"ann", b'5" screen')),
        (b'"an""n",tea,5', (b'an"n', b"tea")),
        (b'ann,tea,"two\nlines, and ""quotes"""', (b"ann", b"tea")),
        (b'ann,tea,"three\n\nlines"', (b"ann", b"tea")),
        (b'ann,"t\nea",5', (b"ann", b"t\nea")),
        (b"ann,t\xffea,5", (b"ann", b"t\xffea")),
        (b"ann,tea,5\r", (b"ann", b"tea")),
    ],
)
def test_a_row_with_quotes_and_line_ends_is_one_row(odd, row, position, block_bytes):
    data = table([*SOUND[:position], odd, *SOUND[position:]])
    rows, numbers, malformed = read(data, block_bytes=block_bytes)
    assert rows == [*OF_SOUND[:position], row, *OF_SOUND[position:]]
    assert (numbers, malformed) == (list(range(1, 402)), [])


@BLOCKS
def test_two_stray_quotes_swallow_nothing(block_bytes):
    lines = [*SOUND[:100], b'ann,"tea,5', *SOUND[100:300], b'bob,tea",5', *SOUND[300:]]
    rows, _, malformed = read(table(lines), block_bytes=block_bytes)
    assert rows == [*OF_SOUND[:300], (b"bob", b'tea"'), *OF_SOUND[300:]] and malformed == [101]


@BLOCKS
@pytest.mark.parametrize("blank", [b"", b"\r", b"\n\n\r\n"])
def test_blank_lines_are_no_rows(blank, block_bytes):
    for position in (0, 1, 200, 400):
        data = blank + b"\n" + table([*SOUND[:position], blank, *SOUND[position:]])
        assert read(data, block_bytes=block_bytes) == (OF_SOUND, list(range(1, 401)), [])


@BLOCKS
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_of_every_system(end, last, mark, block_bytes):
    text = end.join(["visitorId,contentId,n", *(line.decode() for line in SOUND)]) + (end if last else "")
    assert read(mark + text.encode(), block_bytes=block_bytes)[0] == OF_SOUND


@pytest.mark.parametrize(
    "header", [b'visitorId,contentId,"stars\n(1 to 5)"', b'"n","visitorId","contentId"', b"\n\nvisitorId,contentId,n"]
)
def test_headers(header):
    lines = [b"5,v,c"] if header.startswith(b'"n"') else [b"v,c,5"]
    assert read(table(lines, header))[0] == [(b"v", b"c")]


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\xef\xbb\xbf", b"\r\n \n"[:2], b"visitorId,contentId", b"visitorId,contentId\n"]
)
def test_an_empty_file_has_no_rows(data):
    assert read(data) == ([], [], [])


texts = st.text(st.sampled_from('a",\n\r \u00df'), max_size=4)


@given(st.lists(st.lists(texts, min_size=3, max_size=3), max_size=8), st.sampled_from([1, 16, 1 << 20]), st.booleans())
def test_what_the_csv_module_writes_is_read(rows, block_bytes, quote_all):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerows([["visitorId", "contentId", "n"], *rows])
    found, _, malformed = read(file.getvalue().encode(), block_bytes=block_bytes)
    swallowing = [n for n, row in enumerate(rows) if any("\n" in text or "\r" in text for text in row)]
    if not swallowing:
        assert found == [tuple(text.encode() for text in row[:2]) for row in rows] and malformed == []
    else:  # each row without a line end in it is there, in its order
        expected = [tuple(text.encode() for text in row[:2]) for n, row in enumerate(rows) if n not in swallowing]
        rest = iter(found)
        assert all(row in rest for row in expected)


@BLOCKS
@pytest.mark.parametrize(
    ("convert", "settings", "dialect"),
    [
        (lambda text: text, {}, "comma, utf-8, header"),
        (lambda text: text.replace(",", ";"), {}, "semicolon, utf-8, header"),
        (lambda text: text.replace(",", "\t"), {}, "tab, utf-8, header"),
        (lambda text: text.replace(",", "|"), {}, "bar, utf-8, header"),
        (lambda text: text.replace(",", "^"), {"delimiter": "^"}, "^, utf-8, header"),
        (lambda text: text.replace(",", "','").replace("\n", "'\n'")[:-1], {}, "comma, utf-8, quote ', header"),
        (lambda text: text.encode("utf-16"), {}, "comma, utf-16, header"),
        (lambda text: text.encode("utf-16-le"), {"encoding": "utf-16-le"}, "comma, utf-16-le, header"),
        (lambda text: text.encode("latin-1"), {"encoding": "latin-1"}, "comma, iso8859-1, header"),
    ],
)
def test_a_dialect_is_detected_or_set_and_said(convert, settings, dialect, block_bytes):
    lines = [*SOUND[:200], 'Käse,"café",5'.encode(), *SOUND[200:]]
    data = convert(table(lines).decode())
    if dialect.endswith("quote ', header"):
        data = "'" + data.replace('"', "") + "\n"
    raws = list(
        CsvReader(NAMES, CsvSettings(**settings), block_bytes=block_bytes).read(
            io.BytesIO(data if isinstance(data, bytes) else data.encode())
        )
    )
    rows = [tuple(row.values()) for raw in raws for row in raw.columns.to_pylist()]
    assert rows == [*OF_SOUND[:200], ("Käse".encode(), "café".encode()), *OF_SOUND[200:]]
    assert [raw.dialect for raw in raws] == [dialect, *[None] * (len(raws) - 1)]


@pytest.mark.parametrize("delimiter", [",", ";", "^"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_first_line_of_excel_tells_the_delimiter(delimiter, mark):
    data = mark + f"sep={delimiter}\r\n".encode() + table(SOUND).replace(b",", delimiter.encode())
    assert read(data) == (OF_SOUND, list(range(1, 401)), [])


def test_a_column_that_is_needed_is_in_the_header_once():
    assert read(b"visitorId,n,contentId,n\nv,1,c,2\n")[0] == [(b"v", b"c")]
    with pytest.raises(ValueError, match="its header has the column contentId twice"):
        read(b"visitorId,contentId,contentId\nv,c,d\n")


@BLOCKS
@pytest.mark.parametrize("position", [0, 1, 200])
def test_a_byte_order_mark_within_a_file_is_part_of_the_id(position, block_bytes):
    odd = "\ufeffann,tea,5".encode()
    rows, *_ = read(table([*SOUND[:position], odd, *SOUND[position:]]), block_bytes=block_bytes)
    assert rows == [*OF_SOUND[:position], ("\ufeffann".encode(), b"tea"), *OF_SOUND[position:]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_header_with_nul_characters_is_told_to_be_another_encoding(encoding):
    data = table(SOUND).decode().encode(encoding)
    with pytest.raises(MissingColumnError) as error:
        read(data)
    assert error.value.advice.endswith(f"set source.csv.encoding: {encoding}")
    assert read(data, settings=CsvSettings(encoding=encoding)) == read(table(SOUND))


@BLOCKS
def test_columns_without_a_header_are_called_by_number(block_bytes):
    data = b"\n".join(line.replace(b",", b"\t") for line in SOUND)
    reader = CsvReader(["column1", "column2"], CsvSettings(header=False), block_bytes=block_bytes)
    rows = [tuple(row.values()) for raw in reader.read(io.BytesIO(data)) for row in raw.columns.to_pylist()]
    assert rows == OF_SOUND


def escaped(rows):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, escapechar="\\", doublequote=False, lineterminator="\n")
    writer.writerows([["visitorId", "contentId", "n"], *rows])
    return file.getvalue().encode()


@given(
    st.lists(st.lists(st.text(st.sampled_from('a",\\\u00df'), max_size=4), min_size=3, max_size=3), max_size=8),
    st.sampled_from([1, 16, 1 << 20]),
)
def test_escaped_quotes_are_read_as_the_csv_module_writes_them(rows, block_bytes):
    reader = CsvReader(NAMES, CsvSettings(escape="\\"), block_bytes=block_bytes)
    raws = list(reader.read(io.BytesIO(escaped(rows))))
    found = [tuple(row.values()) for raw in raws for row in raw.columns.to_pylist()]
    assert found == [tuple(text.encode() for text in row[:2]) for row in rows]
    assert not [bad for raw in raws for bad in raw.malformed]


@BLOCKS
def test_without_quotes_a_quote_is_a_character(block_bytes):
    lines = [*SOUND[:200], b'"ann,5" screen,1', *SOUND[200:]]
    raws = CsvReader(NAMES, CsvSettings(quote=""), block_bytes=block_bytes).read(io.BytesIO(table(lines)))
    rows = [tuple(row.values()) for raw in raws for row in raw.columns.to_pylist()]
    assert rows == [*OF_SOUND[:200], (b'"ann', b'5" screen'), *OF_SOUND[200:]]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le"])
def test_bytes_that_are_not_of_the_encoding_lose_their_row_alone(encoding):
    odd = b"a\x81,c,d" if encoding == "cp1252" else "a\ud800,c,d".encode("utf-16-le", "surrogatepass")
    end = "\n".encode(encoding)
    data = end.join([b"visitorId,contentId,n".decode().encode(encoding), odd, "v,c,5".encode(encoding)]) + end
    (raw,) = CsvReader(NAMES, CsvSettings(encoding=encoding)).read(io.BytesIO(data))
    assert [row["visitorId"] for row in raw.columns.to_pylist() if row["visitorId"].isascii()] == [b"v"]
    assert columns.faults_of_ids(raw.columns.column(0)).tolist() == ["not_utf8", None]
