"""Command that writes factors for a vector database: wals export-vectors --output vectors --format vertex"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts import catalogue, storage
from artifacts.catalogue import Catalogue
from artifacts.names import CONTENT_ID, SERVED_ITEMS, VISITOR_ID
from artifacts.paths import Model, join, shard_name
from artifacts.served.tables import Tables
from configs import cli
from configs.errors import UserError
from ranking import similarity
from serving.models.engine.content import Content

Kind = Literal["items", "visitors"]
_EPILOG = """\
vertex: JSON lines of id, embedding and restricts (the category), which Vertex AI Vector Search reads from gs://.
parquet: contentId (or visitorId), embedding, title and category, for pgvector, ScaNN and others.
The database finds what the factors alone say: without the item-item term, and with the items that the visitor has. Its
distance is the dot product; with --metric cosine all vectors have length 1.

examples:
  wals export-vectors --config configs/local.yaml --output data/vectors
  wals export-vectors --config configs/local.yaml --output data/visitors --of visitors --format parquet
"""
_ROWS = 1 << 16  # of a file


class Vectors(NamedTuple):
    """Some rows: ids, and vectors float32 [n, d]."""

    ids: list[bytes]
    vectors: np.ndarray


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and write the files."""
    parser = cli.parser("wals export-vectors", "Write a model's factors for a vector database.", epilog=_EPILOG)
    parser.add_argument("--model_dir", metavar="DIR", help="the model that trainer.task wrote")
    parser.add_argument("--output", metavar="DIR", required=True, help="directory of the files, local or gs://")
    parser.add_argument("--of", choices=("items", "visitors"), default="items", help="whose vectors (default: items)")
    parser.add_argument("--format", choices=("vertex", "parquet"), default="vertex", help="(default: vertex)")
    parser.add_argument("--metric", choices=("dot", "cosine"), default="dot", help="(default: dot)")
    args = parser.parse_args(argv)
    settings = cli.settings_from(args, {"model_dir": args.model_dir})
    model = Model(cli.required(settings.model_dir, "model_dir"))
    written, left_out = export(model.saved_model, args.output, args.of, args.format, by_cosine=args.metric == "cosine")
    print(f"wrote {written:,} vectors of {args.of} to {args.output}")
    if left_out:
        print(f"left out {left_out:,} whose ids are not UTF-8, which the format cannot express")


def export(saved_model: str, output: str, of: Kind, form: str, by_cosine: bool = False) -> tuple[int, int]:
    """Write the vectors of a SavedModel; return how many there are, and how many ids cannot be written.

    Raise UserError if the model has no tables, or the directory has files already.
    """
    if storage.is_remote(saved_model) or not Tables.are_in(saved_model):
        raise UserError(f"{saved_model} has no tables on this machine; train the model again, or copy it here")
    if storage.list_files(output):
        raise UserError(f"{output} has files already; name another --output")
    content, path = Content(saved_model), join(saved_model, SERVED_ITEMS)
    titles: Catalogue = catalogue.of_items(path) if of == "items" and storage.exists(path) else {}
    blocks = list(_blocks(content, of))
    written = left_out = 0
    for number, (ids, vectors) in enumerate(blocks):
        rows = similarity.directions(vectors) if by_cosine else vectors
        names = [_text(name) for name in ids]
        kept = [row for row, name in enumerate(names) if name is not None]
        texts = cast(list[str], [names[row] for row in kept])
        name = shard_name(join(output, of), number, len(blocks), ".json" if form == "vertex" else ".parquet")
        with storage.open_to_write(name) as file:
            if form == "vertex":
                file.writelines(_lines(texts, rows[kept], titles))
            else:
                id_name = CONTENT_ID if of == "items" else VISITOR_ID
                pq.write_table(_table(id_name, texts, rows[kept], titles), file, compression="zstd")
        written, left_out = written + len(kept), left_out + len(ids) - len(kept)
    return written, left_out


def _blocks(content: Content, of: Kind) -> Iterator[Vectors]:
    """Yield the rows, some after the others; new items come after the known ones."""
    ids, table = (content.item_ids, content.items) if of == "items" else (content.visitor_ids, content.users)
    for start in range(0, len(ids), _ROWS):
        indices = np.arange(start, min(start + _ROWS, len(ids)))
        yield Vectors(ids.ids(indices).tolist(), table.rows[indices])
    if of == "items" and len(content.new):
        yield Vectors(content.new.ids, content.new.factors)


def _text(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _lines(ids: list[str], vectors: np.ndarray, titles: Catalogue) -> Iterator[bytes]:
    """Yield the JSON lines of https://cloud.google.com/vertex-ai/docs/vector-search/setup/format-structure."""
    for name, vector in zip(ids, vectors, strict=True):
        line = {"id": name, "embedding": vector}
        if category := titles.get(name, ("", ""))[1]:
            line["restricts"] = [{"namespace": "category", "allow": [category]}]
        yield orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def _table(id_name: str, ids: list[str], vectors: np.ndarray, titles: Catalogue) -> pa.Table:
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    columns = {id_name: pa.array(ids, pa.string()), "embedding": embedding}
    if titles:
        for place, column in enumerate(("title", "category")):
            columns[column] = pa.array([titles.get(name, ("", ""))[place] or None for name in ids], pa.string())
    return pa.table(columns)


if __name__ == "__main__":
    sys.exit(cli.run(main))
