"""The tables that preprocessing prints."""

from artifacts.manifests import Comparison
from pipeline.dataset.display import show_comparison


def test_a_median_of_counts_has_its_digits(capsys):
    counts = dict.fromkeys(("users", "items", "interactions"), (5, 12345))
    show_comparison(Comparison(baseline="old", created="2024-01-01", median=(0.8838, 12_345.6), **counts))
    assert {"0.884", "12,346", "12,345", "5"} <= set(capsys.readouterr().out.split())
