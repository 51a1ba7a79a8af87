"""Refusals by the counts of a run alone."""

from collections import Counter

import pytest

from configs.errors import UserError
from configs.settings import Settings
from pipeline.dataset.checks import check_counts


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"preset": "ga4_shop", "input": "bq://p.d.events_*"},
            r" tables .* events \(add_to_cart, purchase, view_item\)$",
        ),
        ({"kind": "ga4", "input": "bq://p.d.events_*"}, "the tables contain no rows$"),
        ({"preset": "ga4_shop", "input": "events_*"}, "the files contain no rows$"),
    ],
)
def test_no_rows_are_no_rows_of_the_events_that_tables_are_asked_for(source, said):
    with pytest.raises(UserError, match=said):
        check_counts(Counter(), Settings.model_validate({"source": source}), "rejected")
