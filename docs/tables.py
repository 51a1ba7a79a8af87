"""Tables of the documentation, written from the tracked JSON files in benchmarks/results.

A page marks where a table goes: `<!-- table: NAME -->` before it and `<!-- end of table -->` after it.
`python docs/generate.py` rewrites what is between the marks, and a test fails where a page differs from its JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_RUNNERS = {
    "in memory": "in-process, one thread: `runner: FnApiRunner`, the setting of `configs/local.yaml`",
    "threads": "in-process, two threads: `direct_running_mode: multi_threading`",
    "processes": "two processes: `direct_running_mode: multi_processing`",
    "Prism": "Prism (`make prism`): `--runner=PrismRunner --environment_type=LOOPBACK`",
}
_READERS = {
    "loop": "`json.loads` and a loop over the hits",
    "ours": "this pipeline, which checks and accounts for each record",
    "duckdb": "DuckDB, `read_json` of the same columns and `unnest`, one thread",
}
_STARTUP = {
    "TensorFlow": "import of TensorFlow",
    "Beam": "import of Apache Beam",
    "TFT": "import of TensorFlow Transform",
    "our modules": "import of the project",
    "sample": "preprocessing the sample",
    "whole": "the whole process",
}
_HOT = {
    "plain": "the table as it is",
    "hot item": "one item has 1.5 million visitors",
    "hot visitor": "one visitor has a million views",
    "hot visitor, bot filter": "the same, the visitor left out as a bot",
}


def rewritten(page: str) -> str:
    """Return a page with each marked table as its JSON file has it.

    Raises:
        KeyError: the page marks a table that this module does not make.
    """
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", page)


def results(name: str) -> dict[str, Any]:
    """Read one file of benchmarks/results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; null is an empty cell."""
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float | None, digits: int = 2) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"


def _count(value: float | None) -> int | None:
    return None if value is None else round(value)


def _short(value: float) -> str:
    return f"{value:.3g}"


def _interval(values: list[float] | None, digits: int = 4) -> str | None:
    if values is None:
        return None
    value, low, high = values
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def wals_speed() -> str:
    passes = ("k", "solver", "rounds", "ours, s per pass", "implicit, s per pass", "ratio")
    header = (*passes, "whole fit, ours, s", "implicit, s", "ratio", "loss, ours / implicit")
    return table(
        header,
        (
            (
                row["k"],
                row["ours"]["solver"],
                row["rounds"],
                _short(row["ours"]["pass_s"]),
                _short(row["implicit"]["pass_s"]),
                _number(row["ratio"]["pass_s"]),
                _short(row["ours"]["whole_s"]),
                _short(row["implicit"]["whole_s"]),
                _number(row["ratio"]["whole_s"]),
                _number(row["ratio"]["loss"], 4),
            )
            for row in results("wals_speed")["rows"]
        ),
    )


def wals_scale() -> str:
    header = ("interactions", "ours, s per pass", "implicit, s per pass", "ratio", "loss, ours / implicit")
    return table(
        (*header, "memory, ours", "memory, implicit"),
        (
            (
                row["interactions"],
                _number(row["ours"]["pass_s"], 3),
                _number(row["implicit"]["pass_s"], 3),
                _number(row["ratio"]["pass_s"]),
                _number(row["ratio"]["loss"], 4),
                _number(row["ours"]["memory_share"]),
                _number(row["implicit"]["memory_share"]),
            )
            for row in results("wals_scale")["rows"]
        ),
    )


def wals_spark() -> str:
    found = results("wals_spark")
    names = {"ours": "WALS, this project", "spark": "Spark MLlib's ALS, `local[2]`"}
    rows = [(names[side], _short(found[side]["pass_s"]), _short(found[side]["whole_s"])) for side in names]
    times = (found["times"]["pass_s"], found["times"]["whole_s"])
    return table(("", "s per pass", "whole fit, s"), [*rows, ("Spark / ours", *(f"{value:.0f}" for value in times))])


def wals_quality() -> str:
    header = ("", "k", "w0", "lambda", "nu", "b", "a", "passes", "training, s", "Recall@20", "NDCG@20")

    def row(found: dict[str, Any]) -> tuple[object, ...]:
        settings = found.get("settings", {})
        recall, ndcg = (found["recall"], found["ndcg"]) if "recall" in found else found["curve"][-1][1:]
        ridge = f"{found['lambda']:.5f}" if "lambda" in found else None
        weights = (settings.get("nu"), settings.get("popularity"), settings.get("activity"))
        size = str(found["k"]), settings.get("w0"), ridge
        return (
            found["side"],
            *size,
            *weights,
            found["passes"],
            f"{found['seconds']:.1f}",
            f"{recall:.4f}",
            f"{ndcg:.4f}",
        )

    return table(header, map(row, results("wals_quality")["rows"]))


def neighbourhood() -> str:
    header = ("k", "gamma", "Recall@20", "difference", "NDCG@20", "difference", "matrix, s", "MB", "rate")

    def row(found: dict[str, Any]) -> tuple[object, ...]:
        parts = ((f"{part['with']:.4f}", _interval(part["difference"])) for part in (found["recall"], found["ndcg"]))
        costs = _number(found["matrix_cpu_s"], 1), _number(found["matrix_mb"], 0), _number(found["rate"])
        return str(found["k"]), f"{found['gamma']:g}", *(cell for part in parts for cell in part), *costs

    return table(header, map(row, results("neighbourhood")["rows"]))


def neighbourhood_greatest() -> str:
    rows = (
        (
            str(found["k"]),
            f"{found['greatest']:g}",
            *(_interval(found[name]["greatest"]) for name in ("recall", "ndcg")),
        )
        for found in results("neighbourhood")["rows"]
    )
    return table(("k", "gamma", "Recall@20, difference", "NDCG@20, difference"), rows)


def gowalla() -> str:
    """Return recall and NDCG on Gowalla's test by number of factors, plain and with the term, with intervals."""
    header = ("settings", "k", "gamma", "Recall@20, plain", "NDCG@20, plain", "Recall@20, term", "NDCG@20, term")

    def row(found: dict[str, Any]) -> tuple[object, ...]:
        gamma = None if found["gamma"] is None else f"{found['gamma']:g}"
        cells = (_interval(found[name].get(side)) for side in ("plain", "term") for name in ("recall", "ndcg"))
        return found["name"], str(found["k"]), gamma, *cells

    return table(header, map(row, sorted(results("gowalla")["rows"], key=lambda one: (one["name"], one["k"]))))


def gowalla_hold_outs() -> str:
    """Return recall and NDCG of each ridge on two kinds of hold-outs of Gowalla's train."""
    rows: dict[str, list[str]] = {}
    for row in results("gowalla_hold_outs")["rows"]:
        rows.setdefault(row["ridge"], []).append(f"{row['recall']:.4f} / {row['ndcg']:.4f}")
    return table(("ridge", "a random fifth", "items differ in their share"), ((key, *row) for key, row in rows.items()))


def bigquery_read() -> str:
    rates = results("bigquery_read")["rows_per_second"]
    rows = [
        ("this project: Arrow batches, each row checked and accounted for", rates["ours"]),
        ("Beam's ReadFromBigQuery, DIRECT_READ: one dict per row", rates["beam"]),
    ]
    return table(("", "rows per second, median"), rows)


def preprocess_speed() -> str:
    header = ("interactions", "visitors", "ours: s", "peak, GB", "rows per second", "pandas: s", "GB", "ours / pandas")

    def row(size: dict[str, Any]) -> tuple[object, ...]:
        ours, pandas, duckdb = (size.get(side, {}) for side in ("ours", "pandas", "duckdb"))
        first = size["rows"], size["visitors"], _number(ours["seconds"], 1), _number(ours["peak_gb"])
        second = _count(ours["rows_per_second"]), _number(pandas.get("seconds"), 1), _number(pandas.get("peak_gb"))
        return *first, *second, _number(pandas.get("ratio")), _number(duckdb["seconds"], 1), _number(duckdb["peak_gb"])

    sizes = results("preprocess_speed")["sizes"] + results("preprocess_50m")["sizes"]
    return table((*header, "DuckDB: s", "GB"), map(row, sizes))


def read_exports() -> str:
    found = results("read_exports")
    rates, shares = found["page_views_per_cpu_second"], found["of_the_loop"]
    rows = ((text, _count(rates[side]), _number(shares[side])) for side, text in _READERS.items())
    return table(("", "page views per processor second", "of the loop"), rows)


def read_signals() -> str:
    header = ("preset, format", "records per processor second", "read alone", "by one parameter or dimension", "ratio")
    sides = ("signals", "read alone", "one id")
    exports = results("read_signals")["exports"].items()
    return table(
        header, ((name, *(_count(one[side]) for side in sides), _number(one["ratio"])) for name, one in exports)
    )


def hot_rows() -> str:
    rows = (
        (
            text,
            _number(found["seconds"], 1),
            _number(found["seconds_over_plain"]),
            _number(found["peak_gb"]),
            found.get("interactions"),
        )
        for name, text in _HOT.items()
        for found in [results("hot_rows")["variants"][name]]
    )
    return table(("", "s", "of the plain table", "peak memory, GB", "interactions"), rows)


def read_rows() -> str:
    rates = results("read_rows")["interactions_per_second"]
    rows = ((f"`{name}`", _count(rate["ours"]), _count(rate["one by one"])) for name, rate in rates.items())
    return table(("interactions per second", "in blocks, as training reads", "record by record"), rows)


def startup() -> str:
    seconds = results("startup")["seconds"]
    return table(("", "s"), ((text, _number(seconds[name], 1)) for name, text in _STARTUP.items()))


def stages() -> str:
    return table(("step", "s"), ((name, _number(value, 1)) for name, value in results("stages")["seconds"].items()))


def runners() -> str:
    rows = (
        (
            _RUNNERS[name],
            *(_number(found[figure], 1) for figure in ("seconds", "cpu_seconds")),
            _number(found["peak_gb"]),
        )
        for name, found in results("runners")["runners"].items()
    )
    return table(("runner", "s", "processor s", "peak memory, GB"), rows)


def warm_start() -> str:
    header = ("k", "night", "cold, after 10 passes", "warm, after 1, 2 and 3 passes", "reaches the cold loss after")
    rows = (
        (
            row["k"],
            f"{row['night']} of {row['nights']}",
            f"{row['cold_loss']:.2f}",
            ", ".join(f"{loss:.2f}" for loss in row["warm_losses"]),
            f"{row['reached_after']} passes" if row["reached_after"] else "not in 3 passes",
            _interval(row["recall_difference"]),
        )
        for nights in (1, 3)
        for row in results(f"warm_start_{nights}")["rows"]
    )
    return table((*header, "Recall@20, warm minus cold"), rows)


def predict_job() -> str:
    rows = (
        (kind, run["users"], _number(run["job_s"], 1), _count(run["visitors_per_second"]), _count(run["peak_mb"]))
        for kind in ("recommendations", "audiences")
        for run in results(f"predict_job_{kind}")["runs"]
    )
    return table(("kind", "visitors", "s", "visitors per second", "peak memory, MB"), rows)


def predict_writers() -> str:
    found = results("predict_writers")
    rates, sizes = found["answers_per_cpu_second"], found["bytes_each"]
    names = {"text": "text", "jsonl": "JSON lines", "parquet": "Parquet"}
    rows = ((names[form], _count(rates[form]), sizes[form]) for form in names)
    return table(("format", "answers per processor second", "bytes each"), rows)


def predict_batch() -> str:
    rows = (
        (side, f"{found['seconds']:.2f} ({found['least']:.2f} to {found['most']:.2f})", found["peak_mb"])
        for side, found in results("predict_batch")["sides"].items()
    )
    return table(("", "s, median (range)", "peak memory, MB"), rows)


def serve_load() -> str:
    header = ("s", "requests per second", "p50, ms", "p99, ms", "p99.9, ms", "requests", "errors", "versions loaded")
    rows = (
        (
            round(run["seconds"]),
            run["rate"],
            *(_number(run[figure], 1) for figure in ("p50_ms", "p99_ms", "p999_ms")),
            run["requests"],
            run["errors"],
            f"{run['taken_over']} of {run['versions']}",
        )
        for seconds in (60, 180)
        for run in [results(f"serve_load_get_{seconds}")]
    )
    return table(header, rows)


def evaluate_scale() -> str:
    rows = ((row["visitors"], _count(row["cpu"]), _number(row["gb"])) for row in results("evaluate_scale")["rows"])
    return table(("visitors", "processor s", "peak memory, GB"), rows)


def signal_strength() -> str:
    """Return the ways to use the strength of signals on two data sets."""
    found = results("signal_strength")
    rows = []
    for name in ("RetailRocket", "Google's GA4 sample"):
        for row in found[name]["rows"]:
            over = row["over one weight"]
            differs = row["way"] != "one weight for all"
            rows.append(
                (
                    name,
                    row["way"],
                    _number(row["recall"], 4),
                    _signed(over["recall"]) if differs else None,
                    _number(row["ndcg"], 4),
                    _signed(over["ndcg"]) if differs else None,
                )
            )
    return table(("data", "use of the signals", "recall@20", "over one weight", "NDCG@20", "over one weight"), rows)


def defaults() -> str:
    """Return recall@20 of the default settings and of each alternative, per data set."""
    short = {"sample, articles": "articles", "sample, shop": "shop", "sample, pages": "pages"}
    short |= {"Google's GA4 shop": "GA4", "Google's GA360 pages": "GA360", "Gowalla, a third": "Gowalla"}
    columns: dict[str, None] = {}
    rows: dict[str, dict[str, str | None]] = {}
    for row in results("defaults")["rows"]:
        label = f"`{row['setting']}` {row['value']}" if row["setting"] else "the defaults"
        name = short.get(row["data"], row["data"])
        columns[name] = None
        rows.setdefault(label, {})[name] = _number(row["recall"], 4)
    return table(("", *columns), ((label, *(cells[name] for name in columns)) for label, cells in rows.items()))


def new_items() -> str:
    """Return the systems on articles that nobody has viewed."""
    systems = results("new_items")["cold"]
    names = ("recall@20", "recall@50", "recall@100", "ndcg@20")
    rows = ((name, *(f"{found[metric]['value']:.3f}" for metric in names)) for name, found in systems.items())
    return table(("among new articles", "Recall@20", "Recall@50", "Recall@100", "NDCG@20"), rows)


def hidden_items() -> str:
    """Return how well hidden items of two sites are recommended among themselves, by system."""
    rows = (
        (f"{found['data']}, {found['items']} items", system,
         *(f"{cells[name]['value']:.3f} ({cells[name]['low']:.3f} to {cells[name]['high']:.3f})" for name in cells))
        for found in results("hidden_items")["rows"]
        for system, cells in found["among"].items()
    )  # fmt: skip
    return table(("hidden", "system", "Recall@20", "NDCG@20"), rows)


def hidden_in_one_list() -> str:
    """Return the recall of all items in one list, with and without attributes."""
    rows = (
        (found["data"], group, *(f"{cells[system]['recall@20']['value']:.3f}" for system in cells))
        for found in results("hidden_items")["rows"]
        for group, cells in found["one_list"].items()
    )
    return table(("data", "held out, by its views in train", "Recall@20 with attributes", "without"), rows)


def few_views() -> str:
    """Return the recall of articles by their views, with and without attributes."""
    rows = (
        ("NDCG@20 of all" if row["views"] == "all, ndcg" else row["views"], f"{row['today']:.3f}", f"{row['with']:.3f}",
         _signed(row["difference"]))
        for row in results("new_items")["few views"]
    )  # fmt: skip
    return table(("views of the article", "without attributes", "with", "difference"), rows)


def one_list() -> str:
    """Return the ranking of all articles in one list by the length of the new ones' factors."""
    rows = (
        ("without attributes" if row["exponent"] is None else f"`new_items_length` {row['exponent']:g}",
         *(f"{row[part]['recall@20']['value']:.3f}" for part in ("all", "known", "new")),
         f"{row['all']['ndcg@20']['value']:.3f}", _signed(row["known, minus today"]))
        for row in results("new_items")["one list"]
    )  # fmt: skip
    header = ("", "Recall@20", "of known", "of new", "NDCG@20", "of known, minus that without attributes")
    return table(header, rows)


def _signed(values: list[float]) -> str:
    value, low, high = values
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def dataset_quality() -> str:
    columns = ("last.fm", "last.fm, binary", "sample")
    rows = (
        (system, *(_interval(found.get(column)) for column in columns))
        for system, found in results("dataset_quality")["recall_at_20"].items()
    )
    return table(("system", "last.fm", "last.fm, `rating.kind=binary`", "the sample"), rows)


def segments() -> str:
    """Return the groups of visitors that are behind a baseline, by data set."""
    header = ("data", "visitors", "recall@20, WALS", "item kNN", "popularity", "groups", "weak spots", "trade-offs")
    return table(
        header,
        (
            (
                row["data"],
                row["visitors"],
                *(f"{row['systems'][name]['recall']['value']:.4f}" for name in ("WALS", "item kNN", "popularity")),
                row["groups"],
                _groups(row["weak_spots"]),
                _groups(row["trade_offs"]),
            )
            for row in results("segments")["rows"]
        ),
    )


def _groups(lines: list[str]) -> str:
    """Return the groups that lines on weak spots name, with the better system."""
    return "; ".join(f"{line.split(': ')[0]}: {line.split(': ')[1].split(' is better')[0]}" for line in lines)


def install() -> str:
    """Return the table of sizes and times of set-up and main job."""
    data = results("install")
    header = ("Python", "`.venv` after `make run`", "processor time of `make run`, from nothing")
    rows = [(row["python"], f"{row['gigabytes']:.1f} GB", f"{row['cpu_seconds']} s") for row in data["runs"]]
    return f"Measured on {data['machine']}:\n\n{table(header, rows)}"


TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        wals_speed,
        wals_scale,
        wals_spark,
        wals_quality,
        new_items,
        few_views,
        hidden_items,
        hidden_in_one_list,
        one_list,
        neighbourhood,
        neighbourhood_greatest,
        gowalla,
        gowalla_hold_outs,
        bigquery_read,
        preprocess_speed,
        read_exports,
        read_signals,
        hot_rows,
        read_rows,
        startup,
        stages,
        runners,
        warm_start,
        predict_job,
        predict_writers,
        predict_batch,
        serve_load,
        evaluate_scale,
        dataset_quality,
        signal_strength,
        defaults,
        segments,
        install,
    )
}
