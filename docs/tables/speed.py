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


def serve_load() -> str:
    header = ("s", "requests per second", "p50, ms", "p99, ms", "p99.9, ms", "requests", "errors", "versions loaded")
    rows = (
        (
            round(run["seconds"]),
            run["rate"],
            *(number(run[figure], 1) for figure in ("p50_ms", "p99_ms", "p999_ms")),
            run["requests"],
            run["errors"],
            f"{run['taken_over']} of {run['versions']}",
        )
        for seconds in (60, 180)
        for run in [results(f"serve_load_get_{seconds}")]
    )
    return table(header, rows)


def events() -> str:
    """Return the table of the time from a view to the answer that it changes, by store."""
    run = results("events")
    names = {
        "view_to_answer": "from the view to the changed answer",
        "post": "of it, POST /events",
        "answer_with_events": "of it, the answer with events",
        "answer_before": "an answer before the view",
        "fsync": "4 kB that the disk confirms",
    }
    stores = run["stores"]
    header = ("", *(f"{store}: {kind}, ms" for store in stores for kind in ("p50", "p99")))
    rows = [
        (name, *(number(found[f"{key}_{kind}_ms"], 1) for found in stores.values() for kind in ("p50", "p99")))
        for key, name in names.items()
    ]
    return f"Measured on {run['machine']}:\n\n{table(header, rows)}\n"


def serve_mixed() -> str:
    """Return the table of loads in which some requests are events, by the number of items."""
    names = ("rate", "p50_ms", "p99_ms", "table_read_ms")
    header = ("items", "dimensions", "requests per second", "p50, ms", "p99, ms", "one read of the table, ms")
    rows = []
    for ending in ("", "_100000", "_1000000"):
        run = results(f"serve_load_get_60{ending}_mixed")
        figures = (number(run[name], 1) for name in names)
        load = run["machine"].rpartition("load ")[2]
        memory = f"{run['resident_mb'][-1]:,}"
        rows.append((f"{run['items']:,}", run["k"], *figures, run["errors"], run["taken_over"], memory, load))
    return table((*header, "errors", "versions taken over", "MB of the worker", "load of the machine"), rows)


def serve_items() -> str:
    """Return the table of a request over many items, next to one read of their table in the same turns."""
    run = results("serve_items_1000000")
    names = {
        "table_read_s": "one read of the items' table, float32",
        "compressed_read_s": "one read of the compressed table, int8",
        "request_s": "a request for 10 items",
    }
    limit = run["table_read_s"]
    rows = [(name, number(1000 * run[key], 1), number(run[key] / limit, 2)) for key, name in names.items()]
    processor = f"A request takes {number(1000 * run['request_processor_s'], 1)} ms of processor time."
    header = ("requests in a batch", "per second", "most by a product of matrices", "share")
    batches = [
        (
            batch["batch"],
            count(batch["batched_per_second"]),
            count(batch["most_per_second"]),
            f"{100 * batch['batched_share_of_gemm']:.0f} %",
        )
        for batch in run["batches"]
    ]
    requests = table(("", "ms, median", "of one read"), rows)
    return f"Measured on {run['machine']}:\n\n{requests}\n\n{processor}\n\n{table(header, batches)}\n"


def serve_approximate() -> str:
    """Return the table of recall and time of an approximate index, next to the exact search."""
    run = results("serve_approximate")
    rows = [(f"exact, compressed in {count(run['compressed_s'])} s", number(run["exact_ms"], 2), number(1.0, 3))]
    rows += [
        (f"{point['probes']} of {run['lists']:,} lists", number(point["ms"], 2), number(point["recall"], 3))
        for point in run["points"]
    ]
    about = f"{run['items']:,} items, {run['dimensions']} dimensions; the index took {count(run['build_s'])} s"
    return f"Measured on {run['machine']}: {about}.\n\n{table(('', 'ms, median', 'recall@10'), rows)}\n"


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
