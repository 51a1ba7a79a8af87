"""The columns and rows of a table that a source asks for, by hand."""

import pyarrow as pa
import pytest
from google.cloud.bigquery import SchemaField

from configs.settings import SourceSettings
from pipeline.sources.bigquery import selection
from pipeline.sources.bigquery.names import TableName

TAG = [SchemaField("key", "STRING"), SchemaField("x", "STRING")]
TABLE = [
    SchemaField("device", "RECORD", fields=[SchemaField("category", "STRING")]),
    SchemaField("name", "STRING"),
    SchemaField(
        "items",
        "RECORD",
        "REPEATED",
        fields=[
            SchemaField("id", "STRING"),
            SchemaField("price", "FLOAT"),
            SchemaField(
                "tags", "RECORD", "REPEATED", fields=[SchemaField("key", "STRING"), SchemaField("x", "STRING")]
            ),
        ],
    ),
    SchemaField("odd", "STRING"),
]
TAGS = pa.list_(pa.struct([("key", pa.string()), ("missing", pa.string())]))
WANTED = pa.schema(
    [
        ("items", pa.list_(pa.struct([("tags", TAGS), ("id", pa.string())]))),
        ("name", pa.string()),
        ("odd", pa.list_(pa.struct([("id", pa.string())]))),
        ("device", pa.struct([("brand", pa.string())])),
        ("absent", pa.string()),
    ]
)


def test_fields_are_those_of_the_schema_that_the_table_has():
    fields = selection.prune(WANTED, TABLE)
    assert list(selection.names(fields)) == ["name", "items.id", "items.tags.key", "odd"]
    assert list(selection.names(TABLE)) == [
        "device.category", "name", "items.id", "items.price", "items.tags.key", "items.tags.x", "odd"
    ]  # fmt: skip


def test_the_query_for_a_view_has_the_same_fields_in_the_order_of_their_places():
    query = selection.select(TableName("p", "d", "v"), selection.prune(WANTED, TABLE), "name IN ('a')")
    tags = "UNNEST(each0.`tags`) AS each1 WITH OFFSET AS place1 ORDER BY place1"
    items = "UNNEST(source.`items`) AS each0 WITH OFFSET AS place0 ORDER BY place0"
    tags = f"ARRAY(SELECT AS STRUCT each1.`key` AS `key` FROM {tags}) AS `tags`"  # noqa: S608 - compared
    assert [line.strip() for line in query.splitlines()] == [
        "SELECT",
        "source.`name` AS `name`,",
        f"ARRAY(SELECT AS STRUCT each0.`id` AS `id`, {tags} FROM {items}) AS `items`,",  # noqa: S608 - compared
        "source.`odd` AS `odd`",
        "FROM `p.d.v` AS source",
        "WHERE name IN ('a')",
    ]


@pytest.mark.parametrize(
    ("source", "restriction", "columns"),
    [
        ({"preset": "ga4_shop"}, "event_name IN ('add_to_cart', 'purchase', 'view_item')", {"items"}),
        ({"preset": "ga4_pages"}, "event_name IN ('page_view', 'scroll', 'user_engagement')", {"event_params"}),
        ({"kind": "ga4"}, "", {"event_params"}),
        ({"kind": "ga360"}, "", {"hits"}),
        ({"kind": "table"}, "", set()),
        (
            {
                "kind": "ga4",
                "signals": [
                    {"event": "it's a \\ test", "item": "items.item_id"},
                    {"event": "two\nlines", "item": "page"},
                ],
            },
            r"event_name IN ('it\'s a \\ test', 'two\nlines')",
            {"items", "event_params"},
        ),
    ],
)
def test_rows_are_those_of_the_signals_events(source, restriction, columns):
    settings = SourceSettings(input="bq://p.d.t_*", **source)
    assert selection.row_restriction(settings) == restriction
    assert {"items", "event_params", "hits"} & set(selection.needed(settings)) == columns
