"""Rows per second from GA360 exports (NDJSON, gzip) to page views on one core, next to a plain loop and DuckDB.

    python -m benchmarks.pipeline.read_exports [--interactions 500000] [--rounds 5]
    python -m benchmarks.pipeline.read_exports --signals [--interactions 60000]

Made data (python -m pipeline.sample, seed 42). The loop is what one writes first: gzip, json.loads, a tuple a page view
with the item of custom dimension 10. DuckDB reads the same files to the same columns: the limit to name. Ours is the
pipeline's own reader and checks, with the account of every row. All read one page view for each other's.

With --signals, records per second of each layout of the sample in NDJSON (gzip) and Parquet: by the signals and the
attributes of its preset, next to the same files by one parameter (GA4) or custom dimension (GA360) without attributes,
and to reading alone of what the signals and attributes need: what Arrow does before the first line of ours.
"""

from __future__ import annotations

import argparse
import glob
import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks.support import machine

INDEX = 10
PRESETS = {"ga360": "ga360_dimension", "ga4": "ga4_articles"}  # of a layout with another name
LAYOUTS = ("ga360", "ga360_pages", "ga360_shop", "ga4", "ga4_pages", "ga4_shop")


def loop(paths: list[str]) -> int:
    views = []
    for path in paths:
        with gzip.open(path, "rb") as file:
            for line in file:
                session = json.loads(line)
                visitor, visit = session["fullVisitorId"], int(session["visitId"])
                start = int(session["visitStartTime"]) * 1000
                for hit in session["hits"]:
                    if hit["type"] == "PAGE":
                        found = [d["value"] for d in hit.get("customDimensions", []) if int(d["index"]) == INDEX]
                        views.append((visitor, visit, int(hit["time"]), int(hit["hitNumber"]), start, *found[:1]))
    return len(views)


def ours(paths: list[str]) -> int:
    from configs.settings import RatingSettings, SourceSettings
    from pipeline.sources.select import source_of

    source = source_of(SourceSettings(kind="ga360", item_dimension_index=INDEX), RatingSettings())
    return sum(source.extract(raw, path).table.num_rows for path in paths for raw in source.read(path))


def duckdb(paths: list[str]) -> int:
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    dimension = 'STRUCT("index" BIGINT, value VARCHAR)'
    hit = f'STRUCT(type VARCHAR, "time" BIGINT, hitNumber BIGINT, customDimensions {dimension}[])'
    columns = f"{{fullVisitorId: 'VARCHAR', visitId: 'BIGINT', visitStartTime: 'BIGINT', hits: '{hit}[]'}}"
    query = f"""
        WITH hits AS (
          SELECT fullVisitorId, visitId, visitStartTime, unnest(hits) AS hit
          FROM read_json({paths!r}, format = 'newline_delimited', columns = {columns})
        )
        SELECT fullVisitorId, visitId, hit.time, hit.hitNumber, visitStartTime,
               list_filter(hit.customDimensions, d -> d.index = {INDEX})[1].value
        FROM hits WHERE hit.type = 'PAGE'"""  # noqa: S608 - paths of our own
    return connection.execute(query).to_arrow_table().num_rows


def records(paths: list[str], source: dict[str, object], extracts: bool) -> int:
    """Read, and extract if asked to; return the number of records."""
    from configs.settings import RatingSettings, SourceSettings
    from pipeline.sources.select import source_of

    reader = source_of(SourceSettings.model_validate(source), RatingSettings())
    read = 0
    for path in paths:
        for raw in reader.read(path):
            if extracts:
                reader.extract(raw, path)
            read += len(raw.numbers)
    return read


def by_signals(folder: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the rates of each layout and format by one id and by signals and attributes, and the ratio of these."""
    exports = {}
    for layout in LAYOUTS:
        for suffix, form in (("", "NDJSON"), ("-parquet", "Parquet")):
            paths = sorted(glob.glob(f"{folder}/sample/{layout}{suffix}/*"))
            kind, preset = layout.partition("_")[0], PRESETS.get(layout, layout)
            sides: dict[str, tuple[dict[str, object], bool]] = {
                "one id": ({"kind": kind}, True),
                "signals": ({"preset": preset}, True),
                "read alone": ({"preset": preset}, False),
            }
            seconds: dict[str, list[float]] = {name: [] for name in sides}
            for round_ in range(args.rounds + 1):
                for name, (source, extracts) in sides.items():
                    started = time.process_time()
                    count = records(paths, source, extracts)
                    if round_:  # the first compiles and fills caches
                        seconds[name].append(time.process_time() - started)
            rates = {name: count / statistics.median(some) for name, some in seconds.items()}
            ratios = [a / b for a, b in zip(seconds["one id"], seconds["signals"], strict=True)]
            exports[f"{preset}, {form}"] = rates | {"ratio": statistics.median(ratios)}
            print(
                f"{preset:16}{form:8}",
                *(f"{name} {rate:12,.2f}" for name, rate in exports[f"{preset}, {form}"].items()),
            )
    return exports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--signals", action="store_true", help="compare signals and attributes with one id")
    args = parser.parse_args()
    sides: dict[str, Callable[[list[str]], int]] = {"loop": loop, "ours": ours, "duckdb": duckdb}
    with tempfile.TemporaryDirectory() as folder:
        from pipeline import sample

        flags = ["--visitors", str(args.interactions // 12), "--items", "5000"]
        flags += ["--layouts", *LAYOUTS, "--formats", "ndjson", "parquet"] if args.signals else ["--layouts", "ga360"]
        sample.main(["--output_dir", folder + "/sample", "--interactions", str(args.interactions), *flags])
        if args.signals:
            print(machine.describe())
            exports = by_signals(folder, args)
            about = {"seed": 42, "rounds": args.rounds, "interactions": args.interactions}
            machine.save("read_signals", about | {"exports": exports})
            return
        paths = sorted(glob.glob(f"{folder}/sample/ga360/*"))
        counts = {name: side(paths[:1]) for name, side in sides.items()}
        if len(set(counts.values())) > 1:
            sys.exit(f"the sides do not read the same: {counts}")
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, side in sides.items():
                started = time.process_time()
                counts[name] = side(paths)
                seconds[name].append(time.process_time() - started)
    print(machine.describe())
    rates = {name: counts[name] / statistics.median(some) for name, some in seconds.items()}
    shares = {}
    for name, rate in rates.items():
        shares[name] = share = statistics.median(a / b for a, b in zip(seconds["loop"], seconds[name], strict=True))
        print(f"{name:8}{rate:12,.0f} page views a processor second, {share:5.2f} times the loop")
    about = {"rounds": args.rounds, "interactions": args.interactions}
    machine.save("read_exports", about | {"page_views_per_cpu_second": rates, "of_the_loop": shares})


if __name__ == "__main__":
    main()
