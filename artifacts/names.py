"""Names of columns, features, vocabularies and tables of a day, as both sides spell them; standard library only."""

import datetime
import re
from collections.abc import Sequence
from typing import NamedTuple

# Interaction columns, from every source.
VISITOR_ID = "visitorId"
CONTENT_ID = "contentId"
AMOUNT = "amount"  # dwell in ms, or the rating a table gives
OWNER = "owner"  # the item or the visitor that an attribute describes
TIME_MS = "time_ms"  # of the last view, since 1970
AGAIN = "again"  # whether the item may be recommended to the visitor again; only if a signal allows it

# Encoded columns, from the transform_fn.
USER_ID = "userId"
ITEM_ID = "itemId"
RATING = "rating"
WEIGHT = "weight"  # E, if the dataset has weights

# Vocabularies in the transform_fn's assets; line n is the id of index n.
VOCAB_USERS = "vocab_users"
VOCAB_ITEMS = "vocab_items"

# Columns of items.parquet, next to contentId.
VISITORS = "visitors"  # int64, those who have the item
POPULARITY = "popularity"  # float64: visitors, or their sum decayed by the age of the view
RECENT_POPULARITY = "recent_popularity"  # float64: always decayed; null if the dataset has no times
MEAN_RATING = "mean_rating"  # float64
TITLE = "title"  # attributes, where the data or a catalogue has them
CATEGORY = "category"
FIRST_TIME_MS = "first_time_ms"  # int64 ms since 1970, of the first and the last of its interactions
LAST_TIME_MS = "last_time_ms"

# The file of a SavedModel with the titles and categories of its items, where the dataset has some. TensorFlow Serving
# ignores its folder.
SERVED_ATTRIBUTES = "assets.extra/item_attributes.json"  # of a SavedModel: the fields of the features of its items
SERVED_ITEMS = "assets.extra/items.parquet"

# What other jobs write into the directory of a finished model by default.
EVALUATION = "evaluation.json"
REPORT = "report.html"

# The figures of an outcome, in its directory.
OUTCOME = "outcome.json"

# The side of a dataset with the rows of users that a split keeps from training.
HELD_OUT = "held_out"

# The files next to items_for_user with the day of each entry, if the source has times.
VIEW_DAYS = "view_days"

# Features of a row (tf.train.Example) in items_for_user and users_for_item.
KEY = "key"
INDICES = "indices"
VALUES = "values"
WEIGHTS = "weights"  # E, if the dataset has weights; AGAIN is a feature too, if a signal allows it
ID = "id"  # the contentId of a new item, in new_item_features

# A block of interactions on its way through TFT: a row of lists. Each visitor and item is in it once;
# interaction i is of visitorId[visitor_place[i]] and contentId[item_place[i]].
VISITOR_PLACE = "visitor_place"
ITEM_PLACE = "item_place"
VISITOR_COUNT = "visitor_count"  # interactions of each visitor in the block
ITEM_COUNT = "item_count"  # interactions of each item in the block
MEDIAN = "median"  # of the amounts, in ms for a dwell


class Side(NamedTuple):
    """A side that has features; its section of settings and its part of the manifest are called as its features are."""

    features: str  # prefix of the files of those in the vocabulary, and the first part of the names of counts
    new: str  # prefix of the files of those that are not in it
    id: str  # column with the ids, in the table of one's own
    plural: str
    attributes: str  # first part of the names of the counts of attributes in the data
    catalogue: str  # setting that names the table, and first part of the names of its counts

    @property
    def graph(self) -> str:
        """The directory, below the dataset's, of the SavedModel that makes the features of raw attributes."""
        return f"{self.features}_fn"


ITEM = Side("item_features", "new_item_features", CONTENT_ID, "items", "attributes", "catalogue")
USER = Side("user_features", "new_user_features", VISITOR_ID, "visitors", "user_attributes", "user_catalogue")


DAY_SECONDS = 86_400
DAY_MS = 86_400_000

GZIP, AVRO, PARQUET = b"\x1f\x8b", b"Obj\x01", b"PAR1"  # the first bytes of a file
_FORMATS = {
    GZIP: "gzip; decompress it",
    AVRO: "Avro",
    PARQUET: "Parquet",
    b"\x89PNG": "an image",
    b"%PDF": "a PDF",
    b"ORC": "ORC",
    b"ARROW1": "Arrow's IPC format (Feather); write it as Parquet",
    b"PK\x03\x04": "zip, or an Excel file; decompress it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as CSV",
    b"BZh": "bzip2; decompress it",
    b"\xfd7zXZ": "xz; decompress it",
    b"7z\xbc\xaf": "7z; decompress it",
    b"\x28\xb5\x2f\xfd": "zstd; decompress it",
    b"\x04\x22\x4d\x18": "lz4; decompress it",
    b"\xff\x06\x00\x00sNaPpY": "snappy; decompress it",
    b"\xff\xfe\x00\x00": "UTF-32; save it in UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32; save it in UTF-8",
}
_MARKUP = (b"<!doctype", b"<html", b"<?xml")
_TEXT = re.compile(rb"[\t\r\n -~]*")

# Google Analytics exports a table per day. A day can have three tables of the same events: the final one, `fresh`,
# which is rewritten for some days, and `intraday`, which grows during the day. A job reads one of them.
FINAL, FRESH, INTRADAY = range(3)  # versions of a day's table, the best first
_VERSIONS = {"": FINAL, "fresh": FRESH, "intraday": INTRADAY}
_DAY_SUFFIX = re.compile(r"(?:(?P<version>intraday|fresh)_)?(?P<day>[0-9]{8})(?![0-9])", re.IGNORECASE)
_DAY_OF_FILE = re.compile(  # whose day may be written with dashes
    r"(?:(?P<version>intraday|fresh)_)?(?P<day>[0-9]{4}(?P<by>[-_]?)[0-9]{2}(?P=by)[0-9]{2})(?![0-9])", re.IGNORECASE
)
_DAY_PREFIX = re.compile(r"(?:^|[^A-Za-z0-9])(?:ga_sessions|events)_", re.IGNORECASE)
# Or directories that name the table and the day apart, as partitions are written: events_intraday/dt=2024-01-05/part-0.
_TABLE = re.compile(r"(?:[^=]*=)?(?:ga_sessions|events)(?:_(?P<version>intraday|fresh))?", re.IGNORECASE)
_DAY = re.compile(r"(?:[^=]*=)?(?P<day>[0-9]{4}(?P<by>[-_]?)[0-9]{2}(?P=by)[0-9]{2})")


def other_format(head: bytes) -> str | None:
    """Return the format of a file that is not text by its first bytes, with what to do; None where it may be text."""
    if head.lstrip().lower().startswith(_MARKUP):
        return "HTML or XML"
    name = next((name for start, name in _FORMATS.items() if head.startswith(start)), None)
    return None if name and _TEXT.fullmatch(head[:512]) else name  # an id may begin with ORC


class DayTable(NamedTuple):
    """One day's table and its version."""

    day: datetime.date
    version: int


def day_table_of_suffix(suffix: str) -> DayTable | None:
    """Return the table of a suffix such as 20240105 or intraday_20240105; None where the suffix is not one."""
    match = _DAY_SUFFIX.fullmatch(suffix)
    return _day_table(match) if match else None


def day_table_of_path(path: str) -> DayTable | None:
    """Return the table that a file belongs to, by its own name or else by the nearest directory's or directories'."""
    *directories, file = path.split("/")
    for name in (file, *reversed(directories)):
        for prefix in _DAY_PREFIX.finditer(name):
            match = _DAY_OF_FILE.match(name, prefix.end())
            if match and (table := _day_table(match)):
                return table
    table_name = next(filter(None, map(_TABLE.fullmatch, reversed(directories))), None)
    days = (_DAY.fullmatch(name) for name in (file.partition(".")[0], *reversed(directories)))
    return next((table for day in days if day and table_name and (table := _day_table(day, table_name))), None)


def _day_table(match: re.Match[str], table_name: re.Match[str] | None = None) -> DayTable | None:
    """Return the table of a matched day; its version is in the same match, or in that of the table's name."""
    try:
        day = datetime.datetime.strptime(re.sub("[-_]", "", match["day"]), "%Y%m%d").date()
    except ValueError:
        return None
    return DayTable(day, _VERSIONS[((table_name or match)["version"] or "").lower()])


def tables_to_read(tables: Sequence[DayTable | None], unfinished: bool) -> list[bool]:
    """Return which tables to read so that each event counts once; None is not the table of a day, and always read.

    unfinished: read the fresh or else the intraday table of a day that has no final one.
    """
    best: dict[datetime.date, int] = {}
    for table in tables:
        if table:
            best[table.day] = min(table.version, best.get(table.day, table.version))
    return [
        table is None or (table.version == best[table.day] and (unfinished or table.version == FINAL))
        for table in tables
    ]
