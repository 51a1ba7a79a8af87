"""Published figures of items that nobody has viewed, on CiteULike, next to the ridge from tags.

    python -m benchmarks.wals.published_new_items [--write]

One of the systems was measured over all 3,396 articles of vali and test in one list of candidates, and so is the ridge
here, with the settings of `new_items`; vali chose them, so that its part is a little too good. The others have draws of
their own and no such list exists for them. Their features are 300 numbers from titles and abstracts.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.support import machine
from benchmarks.wals.new_items import GENERAL, MU, K, features, measure, read, train_on
from trainer.attributes import ridge

_TEXTS, _OWN = "300 numbers from titles and abstracts", "a draw of their own"
PUBLISHED = (
    {"system": "DropoutNet (its plot)", "features": _TEXTS, "candidates": "all 3,396", "recall@100": 0.645},
    {"system": "CLCRec", "features": _TEXTS, "candidates": _OWN, "recall@20": 0.244},
    {"system": "ALDI", "features": _TEXTS, "candidates": _OWN, "recall@20": 0.269},
    {"system": "LLM-InS", "features": _TEXTS, "candidates": _OWN, "recall@20": 0.360},
)
LOOKS = "The ridge over vali and test in one list was measured once; settings are those of new_items."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/published_new_items.json")
    arguments, split, rows = parser.parse_args(), read("vali", "test"), list[dict[str, Any]]()
    model = train_on(split.train)
    users, items = model.get_row_factors(), model.get_col_factors()
    for name, least in (("tags", 1), (f"tags of {GENERAL} or more articles", GENERAL)):
        warm, new = features(split, least)
        found = measure(users, ridge.fit(warm, items, MU).factors(new), split.relevant)
        figures = {metric: cell["value"] for metric, cell in found.items()}
        own = {"system": "ridge", "features": f"{warm.shape[1]:,} {name}", "candidates": f"all {len(split.new):,}"}
        rows.append(own | figures)
    print(rows)
    if arguments.write:
        machine.save("published_new_items", {"k": K, "looks_at_test": LOOKS, "rows": [*rows, *PUBLISHED]})


if __name__ == "__main__":
    main()
