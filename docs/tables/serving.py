"""Tables of the server: loads, events, and requests over many items."""

from __future__ import annotations

from tables.cells import count, number, results, table


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
