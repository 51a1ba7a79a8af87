"""Answers a second that each format of predictions is written at, by one core: the writers alone, without scoring.

    python -m benchmarks.prediction.writers [--visitors 4096] [--top 10] [--items 5000] [--rounds 7]

Made answers, seed 0, written to memory. The seconds are those of the processor, which other load moves less than the
clock's.
"""

from __future__ import annotations

import argparse
import datetime
import io
import statistics
import time

import numpy as np

from benchmarks.support import machine
from pipeline.prediction.writers.answers import WORDS, Answers, Names, Stamp
from pipeline.prediction.writers.formats import WRITERS
from ranking.heap import Best

SEED = 0


def made(visitors: int, top: int, items: int) -> Answers:
    """Return a block of answers, all of them full."""
    rng = np.random.default_rng(SEED)
    names = Names([b"item%d" % number for number in range(items)])
    asked = [b"visitor%d" % number for number in range(visitors)]
    scores = -np.sort(-rng.standard_normal((visitors, top), np.float32))
    best = Best(rng.integers(0, items, (visitors, top)), scores)
    return Answers(asked, ["factors"] * visitors, names, best)


def seconds(form: str, answers: Answers) -> tuple[float, int]:
    """Return the seconds of one block, and its bytes in the file."""
    file, started = io.BytesIO(), time.process_time()
    writer = WRITERS[form](file, WORDS["recommendations"], Stamp("v", datetime.datetime.now(datetime.UTC)))
    writer.write(answers)
    writer.finish()
    return time.process_time() - started, len(file.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, size in {"visitors": 4096, "top": 10, "items": 5000, "rounds": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    args = parser.parse_args()
    print(machine.describe())
    print(f"seed {SEED}; {args.visitors:,} answers of {args.top}, {args.items:,} items, median of {args.rounds}")
    answers, rates, sizes = made(args.visitors, args.top, args.items), {}, {}
    for form in ("text", "jsonl", "parquet"):
        seconds(form, answers)  # the names as the format writes them are made once
        runs = [seconds(form, answers) for _ in range(args.rounds)]
        rates[form] = args.visitors / statistics.median(second for second, _ in runs)
        sizes[form] = round(runs[0][1] / args.visitors)
        print(f"{form:>8}: {rates[form]:10,.0f} answers per second, {sizes[form]:,} bytes each")
    figures = {"seed": SEED, "top": args.top, "answers_per_cpu_second": rates, "bytes_each": sizes}
    machine.save("predict_writers", figures)


if __name__ == "__main__":
    main()
