"""Tables of time, memory and size."""

from __future__ import annotations

from typing import Any

from tables.cells import count, interval, number, results, short, table

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
                short(row["ours"]["pass_s"]),
                short(row["implicit"]["pass_s"]),
                number(row["ratio"]["pass_s"]),
                short(row["ours"]["whole_s"]),
                short(row["implicit"]["whole_s"]),
                number(row["ratio"]["whole_s"]),
                number(row["ratio"]["loss"], 4),
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
                number(row["ours"]["pass_s"], 3),
                number(row["implicit"]["pass_s"], 3),
                number(row["ratio"]["pass_s"]),
                number(row["ratio"]["loss"], 4),
                number(row["ours"]["memory_share"]),
                number(row["implicit"]["memory_share"]),
            )
            for row in results("wals_scale")["rows"]
        ),
    )


def wals_spark() -> str:
    found = results("wals_spark")
    names = {"ours": "WALS, this project", "spark": "Spark MLlib's ALS, `local[2]`"}
    rows = [(names[side], short(found[side]["pass_s"]), short(found[side]["whole_s"])) for side in names]
    times = (found["times"]["pass_s"], found["times"]["whole_s"])
    return table(("", "s per pass", "whole fit, s"), [*rows, ("Spark / ours", *(f"{value:.0f}" for value in times))])


def neighbourhood() -> str:
    header = ("k", "gamma", "Recall@20", "difference", "NDCG@20", "difference", "matrix, s", "MB", "rate")

    def row(found: dict[str, Any]) -> tuple[object, ...]:
        parts = ((f"{part['with']:.4f}", interval(part["difference"])) for part in (found["recall"], found["ndcg"]))
        costs = number(found["matrix_cpu_s"], 1), number(found["matrix_mb"], 0), number(found["rate"])
        return str(found["k"]), f"{found['gamma']:g}", *(cell for part in parts for cell in part), *costs

    return table(header, map(row, results("neighbourhood")["rows"]))


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
        first = size["rows"], size["visitors"], number(ours["seconds"], 1), number(ours["peak_gb"])
        second = count(ours["rows_per_second"]), number(pandas.get("seconds"), 1), number(pandas.get("peak_gb"))
        return *first, *second, number(pandas.get("ratio")), number(duckdb["seconds"], 1), number(duckdb["peak_gb"])

    sizes = results("preprocess_speed")["sizes"] + results("preprocess_50m")["sizes"]
    return table((*header, "DuckDB: s", "GB"), map(row, sizes))


def read_exports() -> str:
    found = results("read_exports")
    rates, shares = found["page_views_per_cpu_second"], found["of_the_loop"]
    rows = ((text, count(rates[side]), number(shares[side])) for side, text in _READERS.items())
    return table(("", "page views per processor second", "of the loop"), rows)


def read_signals() -> str:
    header = ("preset, format", "records per processor second", "read alone", "by one parameter or dimension", "ratio")
    sides = ("signals", "read alone", "one id")
    exports = results("read_signals")["exports"].items()
    return table(header, ((name, *(count(one[side]) for side in sides), number(one["ratio"])) for name, one in exports))


def before_signals() -> str:
    header = ("preset", "files", "sessions per processor second", "ratio", "reading alone", "rules alone", "at best")

    def row(case: dict[str, Any]) -> tuple[object, ...]:
        rate = case["sessions"] / case["cpu_seconds"]["new"]
        ratios = (number(case[name]) for name in ("ratio", "ratio_of_reading", "ratio_of_rules", "ratio_with_decoder"))
        memory = (count(case["peak_mb"][side]) for side in ("new", "old"))
        return case["preset"], case["files"], count(rate), *ratios, *memory

    cases = results("before_signals")["cases"]
    return table((*header, "peak, MB", "old: MB"), map(row, cases))


def hot_rows() -> str:
    rows = (
        (
            text,
            number(found["seconds"], 1),
            number(found["seconds_over_plain"]),
            number(found["peak_gb"]),
            found.get("interactions"),
        )
        for name, text in _HOT.items()
        for found in [results("hot_rows")["variants"][name]]
    )
    return table(("", "s", "of the plain table", "peak memory, GB", "interactions"), rows)


def read_rows() -> str:
    rates = results("read_rows")["interactions_per_second"]
    rows = ((f"`{name}`", count(rate["ours"]), count(rate["one by one"])) for name, rate in rates.items())
    return table(("interactions per second", "in blocks, as training reads", "record by record"), rows)


def startup() -> str:
    seconds = results("startup")["seconds"]
    return table(("", "s"), ((text, number(seconds[name], 1)) for name, text in _STARTUP.items()))


def stages() -> str:
    return table(("step", "s"), ((name, number(value, 1)) for name, value in results("stages")["seconds"].items()))


def runners() -> str:
    rows = (
        (
            _RUNNERS[name],
            *(number(found[figure], 1) for figure in ("seconds", "cpu_seconds")),
            number(found["peak_gb"]),
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
            interval(row["recall_difference"]),
        )
        for nights in (1, 3)
        for row in results(f"warm_start_{nights}")["rows"]
    )
    return table((*header, "Recall@20, warm minus cold"), rows)


def predict_job() -> str:
    rows = (
        (kind, run["users"], number(run["job_s"], 1), count(run["visitors_per_second"]), count(run["peak_mb"]))
        for kind in ("recommendations", "audiences")
        for run in results(f"predict_job_{kind}")["runs"]
    )
    return table(("kind", "visitors", "s", "visitors per second", "peak memory, MB"), rows)


def predict_writers() -> str:
    found = results("predict_writers")
    rates, sizes = found["answers_per_cpu_second"], found["bytes_each"]
    names = {"text": "text", "jsonl": "JSON lines", "parquet": "Parquet"}
    rows = ((names[form], count(rates[form]), sizes[form]) for form in names)
    return table(("format", "answers per processor second", "bytes each"), rows)


def predict_batch() -> str:
    rows = (
        (side, f"{found['seconds']:.2f} ({found['least']:.2f} to {found['most']:.2f})", found["peak_mb"])
        for side, found in results("predict_batch")["sides"].items()
    )
    return table(("", "s, median (range)", "peak memory, MB"), rows)


def evaluate_scale() -> str:
    rows = ((row["visitors"], count(row["cpu"]), number(row["gb"])) for row in results("evaluate_scale")["rows"])
    return table(("visitors", "processor s", "peak memory, GB"), rows)


def install() -> str:
    """Return the table of sizes and times of set-up and main job."""
    data = results("install")
    header = ("Python", "`.venv` after `make run`", "`make run`, from nothing", "processor time")
    rows = [
        (row["python"], f"{row['gigabytes']:.1f} GB", *(f"{row[name]} s" for name in ("seconds", "cpu_seconds")))
        for row in data["runs"]
    ]
    return f"Measured on {data['machine']}:\n\n{table(header, rows)}"


def install_parts() -> str:
    """Return the table of the sizes of the smaller installations."""
    data = results("install_parts")
    of = {"scoring": ("`make install-scoring`", "`wals score`, `wals show`, `wals runs`, the Python API")}
    of["serving"] = ("`make install-serving`", "`wals publish`, `wals serve`")
    rows = [(*of[part["name"]], f"{part['megabytes'] / 1000:.2f} GB") for part in data["parts"]]
    whole, cpu = (data["tensorflow_megabytes"][name] / 1000 for name in ("tensorflow", "tensorflow-cpu"))
    note = f"TensorFlow is {whole:.2f} GB of the second; tensorflow-cpu, which is not locked, would be {cpu:.2f} GB."
    return f"Measured on {data['machine']}.\n{note}\n\n{table(('command', 'for', 'size'), rows)}"
