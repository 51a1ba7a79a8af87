"""The tables that preprocessing prints."""

import re

from artifacts.manifests import Comparison, FeaturesAccount, FieldFeatures
from configs.settings import SourceSettings
from pipeline.dataset.display import show, show_comparison
from tests.support.manifests import dataset_manifest


def test_a_median_of_counts_has_its_digits(capsys):
    counts = dict.fromkeys(("users", "items", "interactions"), (5, 12345))
    show_comparison(Comparison(baseline="old", created="2024-01-01", median=(0.8838, 12_345.6), **counts))
    assert {"0.884", "12,346", "12,345", "5"} <= set(capsys.readouterr().out.split())


def test_features_are_accounted_for_by_field(capsys):
    title = FieldFeatures(
        name="title", kind="text", weight=1, offset=0, size=9, missing=4, dropped={"below_min_items": 3}
    )
    brand = FieldFeatures(name="brand", kind="category", weight=1, offset=9, size=2)
    account = FeaturesAccount(fields=[title, brand], width=11, shards=1, without=5, new=7, new_without=6, new_unfit=8)
    account.left_out["views"] = "it changes"
    show("data", dataset_manifest(item_features=account))
    output = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in output.splitlines() if "│" in line]
    lines = [line for line in output.splitlines() if not line.startswith(("│", "┌", "└"))]
    assert dict(row for row in rows if "features" in row[0] or "new" in row[0]) == {
        "features: title, text": "9",
        "features: title missing": "4",
        "features: title below min items": "3",
        "features: brand, category": "2",
        "items without features": "5",
        "new items": "7",
        "new items without features": "6",
        "new items whose id is empty or has a line end": "8",
    }
    assert "no features of views: it changes" in lines
    assert any(line.startswith("all items have the same brand") for line in lines)


def test_attributes_that_are_not_numbers_are_told(capsys):
    show("data", dataset_manifest(attributes={"items.price": 3, "not_a_number.price": 1234}))
    output = " ".join(capsys.readouterr().out.split())
    assert "the price of 1,234 items is not a number and left out" in output


def test_a_median_of_dwells_is_in_seconds(capsys):
    show("d", dataset_manifest(median=43_842.0, settings={"source": SourceSettings(kind="ga360")}))
    assert re.search(r"median +│ +43\.8 s │", capsys.readouterr().out)
    shop = SourceSettings(kind="ga4", preset="ga4_shop")
    show("d", dataset_manifest(median=1200.0, settings={"source": shop}))
    assert re.search(r"median +│ +1,200 │", capsys.readouterr().out)
