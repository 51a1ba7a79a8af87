"""Values that are not ids, in codes with and without nulls."""

import pyarrow as pa
import pytest

from configs.settings import SourceSettings
from pipeline.sources.items.missing import without_missing


@pytest.mark.parametrize(
    ("values", "ids", "reasons"),
    [
        (
            [b"a", b"", None, b"(not set)", b"a"],
            [b"a", None, None, None, b"a"],
            [None, "no_item", "no_item", "not_an_id.(not set)", None],
        ),
        ([b"(not%20set)", b"(not%20)"], [None, b"(not%20)"], ["not_an_id.(not set)", None]),  # by the page rules
        ([b"b", b"a"], [b"b", b"a"], [None, None]),
        ([None], [None], ["no_item"]),
        ([], [], []),
    ],
)
def test_what_is_not_an_id_is_null_with_a_reason(values, ids, reasons):
    coded = pa.array(values, pa.binary()).dictionary_encode()
    found, why = without_missing(coded, SourceSettings(kind="ga4").names_of_no_id)
    assert found.type == coded.type
    assert (found.to_pylist(), why.tolist()) == (ids, reasons)


def test_google_s_names_of_what_is_missing():
    names = [b"(other)", b"not available in demo dataset", b"(data deleted)"]
    coded = pa.array([*names, b"None"]).dictionary_encode()
    for kind in ("ga4", "ga360"):
        found, why = without_missing(coded, SourceSettings(kind=kind).names_of_no_id)
        assert found.to_pylist() == [None, None, None, b"None"]
        assert why.tolist()[:3] == [f"not_an_id.{name.decode()}" for name in names]
    assert without_missing(coded, SourceSettings(kind="ga4", missing_ids=["x"]).names_of_no_id)[0] == coded
