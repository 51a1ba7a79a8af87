"""A prediction in one process, without Beam: the same answers, files and counts as the job's, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pipeline.prediction import audiences, recommend
from pipeline.prediction.asked import Asked
from pipeline.prediction.plan import Plan
from pipeline.prediction.recommend import Written
from pipeline.prediction.writers.answers import Answers


def run(plan: Plan, root: str, progress: Callable[[int], None]) -> Iterator[Written]:
    """Write the files of all shards below a root, and yield what each contains.

    progress: is called with the number of answers so far.
    """
    done = 0

    def counted(blocks: Iterable[Answers]) -> Iterator[Answers]:
        nonlocal done
        for block in blocks:
            yield block
            done += len(block)
            progress(done)

    if plan.options.returns_visitors:
        asked = Asked(plan)
        for number, best in enumerate(_best(plan, asked)):
            answers = counted([audiences.answers(plan, asked, number, best)])
            yield recommend.write(plan, root, number, len(asked.blocks()), answers)
        return
    loaded = recommend.Loaded(plan)
    for shard in range(plan.answer_shards):
        answers = counted(recommend.answers(plan, loaded, shard))
        yield recommend.write(plan, root, shard, plan.answer_shards, answers)


def _best(plan: Plan, asked: Asked) -> list[bytes]:
    """Return a table of the best visitors for each block of the asked."""
    best = [audiences.EMPTY for _ in asked.blocks()]
    for shard in range(plan.user_shards):
        for number, table in audiences.best_of_shard(plan, asked, shard):
            best[number] = audiences.merge([best[number], table], plan.options.top_k)
    return best
