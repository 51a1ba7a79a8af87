"""The items' factors for TensorBoard's embedding projector: two TSV files and their config."""

from __future__ import annotations

import re

import numpy as np

from artifacts import catalogue, storage
from artifacts.paths import Dataset, join
from artifacts.vocabulary import Vocabulary

_MOST = 10_000  # the projector runs in a browser


def write(directory: str, dataset: Dataset, factors: np.ndarray, visitors: np.ndarray, path: str | None) -> None:
    """Write `item_factors.tsv`, `metadata.tsv` and `projector_config.pbtxt`, the most popular items first.

    Args:
        factors: float32 [m, k]. visitors: int64 [m], of each item.
        path: a catalogue with titles and categories; without one, or if it does not exist, the items have no titles.
    """
    ids = Vocabulary.read(dataset.vocab_items).texts()
    names = {}
    if path is not None and storage.exists(path):
        names = catalogue.read(path)
    lines, header = [], ["contentId", "visitors", *(["title", "category"] if names else [])]
    chosen = np.argsort(-visitors, kind="stable")[:_MOST]
    for item in chosen.tolist():
        item_id = ids[item]
        cells = [item_id, str(int(visitors[item])), *(names.get(item_id, (item_id, "")) if names else ())]
        lines.append("\t".join(re.sub(r"\s", " ", cell) for cell in cells))
    rows = ("\t".join(f"{value:.6g}" for value in row) for row in factors[chosen].tolist())
    config = 'embeddings {\n  tensor_path: "item_factors.tsv"\n  metadata_path: "metadata.tsv"\n}\n'
    for name, text in (
        ("item_factors.tsv", "\n".join(rows) + "\n"),
        ("metadata.tsv", "\n".join(["\t".join(header), *lines]) + "\n"),
        ("projector_config.pbtxt", config),
    ):
        storage.write_bytes(join(directory, name), text.encode())
