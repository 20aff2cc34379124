"""What a batch would do and what it would not, in words, for ``--dry-run``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pyraseg.pipeline.prediction.discovery.find_items import COPY_OF, Found
from pyraseg.pipeline.prediction.plan import Plan
from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.pipeline.writers.tables.text import clean

__all__ = ["count", "describe"]

LISTED = 20  # items and failures that are named one by one
EXAMPLES = 3  # of each reason to leave files out


def describe(found: Found, plan: Plan) -> Iterator[str]:
    """Lines for a terminal: the items, what is left out by its reason, what cannot be done.

    Long lists end in a count, so that ten thousand files take as many lines as a hundred; control characters
    in names are not passed on.

    Args:
        found: what the inputs hold.
        plan: what of it is to be done.
    """
    items = plan.due
    yield f"{count(len(items), 'item')} to do ({_extent(items)})"
    yield from _cut(f"  {clean(item.file)}{_size(item)}" for item in items)
    if plan.beyond:
        yield f"{plan.beyond} more, beyond the limit"
    if plan.kept:
        yield f"{len(plan.kept)} done before, kept"
    if others := len(found.items) - len(items) - plan.beyond - len(plan.kept):
        yield f"{others} of other shards"
    if found.left_out:
        yield f"{count(len(found.left_out), 'file')} left out"
        yield from _grouped((left.reason, left.file) for left in found.left_out)
    if found.failures:
        yield f"{count(len(found.failures), 'file')} that cannot be done"
        lines = (
            f"  {clean(fail.file)}: {clean(fail.reason)}. {clean(fail.remedy)}" for fail in found.failures
        )
        yield from _cut(lines)


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The most frequent reason first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for reason, file in pairs:
        groups["a copy of another file" if reason.startswith(COPY_OF) else reason].append(file)
    for reason, files in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        more = ", ..." if len(files) > EXAMPLES else ""
        yield f"  {len(files):6d}  {clean(reason)}: {', '.join(map(clean, files[:EXAMPLES]))}{more}"


def _cut(lines: Iterable[str]) -> Iterator[str]:
    rest = 0
    for number, line in enumerate(lines):
        if number < LISTED:
            yield line
        else:
            rest += 1
    if rest:
        yield f"  ... and {rest} more"


def _extent(items: Sequence[Item]) -> str:
    series = sum(bool(item.paths) for item in items)
    if series:
        return f"{series} series, {count(sum(item.frames for item in items), 'slice')}"
    cines = sum(item.frames > 1 for item in items)
    return f"{count(cines, 'cine')}, {count(sum(item.frames for item in items), 'frame')}"


def _size(item: Item) -> str:
    return f" ({item.frames} {'slices' if item.paths else 'frames'})" if item.frames > 1 else ""


def count(number: int, noun: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
