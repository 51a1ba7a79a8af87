"""Names of columns, features, vocabularies and tables of a day, as both sides spell them; standard library only."""

import datetime
import re

# Interaction columns: what every source gives.
VISITOR_ID = "visitorId"
CONTENT_ID = "contentId"
AMOUNT = "amount"  # dwell in ms, or the rating a table gives
TIME_MS = "time_ms"  # of the last view, since 1970

# Encoded columns: what the transform_fn gives.
USER_ID = "userId"
ITEM_ID = "itemId"
RATING = "rating"

# Vocabularies in the transform_fn's assets; line n is the id of index n.
VOCAB_USERS = "vocab_users"
VOCAB_ITEMS = "vocab_items"

# Columns of items.parquet, beside contentId.
VISITORS = "visitors"  # int64, who have the item
POPULARITY = "popularity"  # float64: visitors, or their sum decayed by the age of the view
RECENT_POPULARITY = "recent_popularity"  # float64: always decayed; null where there are no times
MEAN_RATING = "mean_rating"  # float64
FIRST_TIME_MS = "first_time_ms"  # int64 ms since 1970, of the first and the last of its interactions
LAST_TIME_MS = "last_time_ms"

# The side of a dataset with what a split keeps from training: rows of users.
HELD_OUT = "held_out"

# Features of a row (tf.train.Example) in items_for_user and users_for_item.
KEY = "key"
INDICES = "indices"
VALUES = "values"

# A block of interactions on its way through TFT: a row of lists. Each visitor and item stands in it once;
# interaction i is of visitorId[visitor_place[i]] and contentId[item_place[i]].
VISITOR_PLACE = "visitor_place"
ITEM_PLACE = "item_place"
VISITOR_COUNT = "visitor_count"  # interactions of each visitor in the block
ITEM_COUNT = "item_count"  # interactions of each item in the block
MEDIAN = "median"  # of the amounts, in ms for a dwell

DAY_SECONDS = 86_400
DAY_MS = 86_400_000

_TABLE_OF_A_DAY = re.compile(r"(?:ga_sessions|events)_(?:intraday_)?(\d{8})(?!\d)")


def day_of_table(name: str) -> datetime.date | None:
    """Return the day of a table of Google Analytics, or of its export file, by its name; None for any other name."""
    match = _TABLE_OF_A_DAY.match(name)
    try:
        return datetime.datetime.strptime(match[1], "%Y%m%d").date() if match else None
    except ValueError:
        return None
