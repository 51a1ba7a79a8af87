"""The variant of a visitor: the same by plain Python, sticky when shares grow, in the shares that were asked for."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest

from configs.errors import UserError
from configs.settings import ExperimentSettings
from ranking.experiments.assignment import Experiment, position

VISITORS = [f"visitor {number}".encode() for number in range(20_000)] + ["é".encode(), b"\xff\x00"]


def experiment(salt: str | None = None, exclude: str | None = None, **shares: float) -> Experiment:
    variants = {name: {"share": share} for name, share in shares.items()}
    tree = {"name": "summer", "salt": salt, "variants": variants, "exclude": exclude}
    return Experiment.of(ExperimentSettings.model_validate(tree))


def plainly(salt: str, visitor: bytes, shares: dict[str, float]) -> str:
    """Return the variant by whole numbers: the first 53 bits of the hash, of 2 to the 53 places."""
    place = int(hashlib.sha256(salt.encode() + b"\0" + visitor).hexdigest()[:16], 16) // 2**11
    end = 0.0
    for name, share in shares.items():
        end += share
        if place < end * 2**53:
            return name
    return name


def test_a_variant_is_that_of_plain_python():
    shares = {"a": 0.2, "b": 0.5, "c": 0.3}
    ours = experiment(**shares)
    assert [ours.variant_of(visitor) for visitor in VISITORS] == [plainly("summer", v, shares) for v in VISITORS]
    assert experiment("pepper", **shares).variant_of(b"v") == plainly("pepper", b"v", shares)


def test_a_place_has_all_bits_of_a_float64():
    """docs/experiments.md has the formula for sites that compute it in SQL."""
    for visitor in VISITORS[:100]:
        digest = hashlib.sha256(b"summer\0" + visitor).hexdigest()
        assert position("summer", visitor) == Fraction(int(digest[:16], 16) >> 11, 2**53)


def test_without_a_name_there_is_no_experiment():
    assert Experiment.of(ExperimentSettings()) is None


def test_shares_are_as_asked():
    numbers = experiment(a=0.2, b=0.5, c=0.3).numbers(VISITORS)
    counts = np.bincount(numbers)
    assert abs(counts / len(VISITORS) - [0.2, 0.5, 0.3]).max() < 3 * np.sqrt(0.25 / len(VISITORS))


def test_who_is_in_the_first_variant_stays_there_when_its_share_grows():
    small, large = experiment(a=0.1, b=0.9), experiment(a=0.4, b=0.6)
    first = [visitor for visitor in VISITORS if small.variant_of(visitor) == "a"]
    assert first and all(large.variant_of(visitor) == "a" for visitor in first)


def test_another_salt_splits_visitors_independently():
    one, other = experiment("x", a=0.5, b=0.5).numbers(VISITORS), experiment("y", a=0.5, b=0.5).numbers(VISITORS)
    assert abs(np.mean(one == other) - 0.5) < 0.02


def test_excluded_visitors_have_no_variant(tmp_path):
    path = tmp_path / "staff.txt"
    path.write_text("visitor 3\nvisitor 7\n")
    ours = experiment(exclude=str(path), a=0.5, b=0.5)
    assert [name for name in VISITORS if ours.variant_of(name) is None] == [b"visitor 3", b"visitor 7"]
    assert ours.numbers([b"visitor 3", b"visitor 4"]).tolist()[0] == -1
    with pytest.raises(UserError, match=r"experiment.exclude .* does not exist"):
        experiment(exclude=str(tmp_path / "nobody"), a=0.5, b=0.5)
