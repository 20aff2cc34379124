"""Broken files, made from good ones by a seed: flipped bytes, cut tails, changed lengths, lies, moved chunks.

`survey` makes them of files, reads them, each in its turn, and says which ones broke the law of
`tests.fuzz.targets`. A file in a folder with the name of a target is read by it, any other as frames.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS, write_seeds

__all__ = ["KINDS", "Verdict", "mutate", "read_broken", "survey"]

EDGES = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
LONG_EDGES = (*EDGES, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
# Attributes of the Image Pixel module whose values can lie, (group, element)
LIARS = tuple((0x28, element) for element in (0x02, 0x06, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103))
HEADER = 2000  # most of a file's meaning is in its first bytes, so half of the places are there
SECONDS = 20  # for one file; a slow machine under load is no hang
MEMORY = 2**30  # bytes for one file above what the libraries take


def flip(data: bytearray, draw: random.Random) -> None:
    """Change single bytes."""
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        data[_place(data, draw)] = draw.randrange(256)


def cut(data: bytearray, draw: random.Random) -> None:
    """Lose the tail."""
    del data[_place(data, draw) :]


def relength(data: bytearray, draw: random.Random) -> None:
    """Put an extreme 16 or 32-bit number where, among others, lengths are."""
    for _ in range(draw.choice((1, 1, 3))):
        place = _place(data, draw) & ~1
        form, edges = draw.choice((("<H", EDGES), ("<L", LONG_EDGES)))
        if place + struct.calcsize(form) <= len(data):
            struct.pack_into(form, data, place, draw.choice(edges))


def lie(data: bytearray, draw: random.Random) -> None:
    """State other rows, columns, samples, bits or planes; other frames where that is text."""
    for order in "<>":
        for group, element in draw.sample(LIARS, 2):
            place = data.find(struct.pack(f"{order}HH", group, element))
            if 0 <= place <= len(data) - 10:
                struct.pack_into(f"{order}H", data, place + 8, draw.choice((*EDGES, 12, 16, 32, 60000)))
    place = data.find(struct.pack("<HH", 0x28, 0x08))
    if 0 <= place <= len(data) - 10 and draw.random() < 0.5:
        data[place + 8 : place + 10] = draw.choice((b"0 ", b"-1", b"99", b"1 ", b"3 ", b"x ", b"\0\0", b"9e"))


def duplicate(data: bytearray, draw: random.Random) -> None:
    """Repeat a chunk, at its place or elsewhere."""
    start = _place(data, draw)
    chunk = data[start : start + draw.choice((1, 2, 8, 100, 1000))]
    place = draw.choice((start, _place(data, draw)))
    data[place:place] = chunk


def remove(data: bytearray, draw: random.Random) -> None:
    """Lose a chunk."""
    start = _place(data, draw)
    del data[start : start + draw.choice((1, 2, 8, 100, 1000))]


KINDS = (flip, cut, relength, lie, duplicate, remove)


def _place(data: bytearray, draw: random.Random) -> int:
    return draw.randrange(max(1, min(len(data), HEADER) if draw.random() < 0.5 else len(data)))


def mutate(data: bytes, seed: int | str) -> bytes:
    """A broken copy; the same seed breaks it in the same way."""
    draw, broken = random.Random(seed), bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if broken:
            draw.choice(KINDS)(broken, draw)
    return bytes(broken)


class Verdict:
    """What reading many broken files gave.

    Attributes:
        outcomes: how often each sentence came.
        defects: "NAME SEED: what happened", one for each file that was answered otherwise than it may be.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.defects: list[str] = []


def survey(files: Sequence[Path], count: int, seed: int = 0) -> Verdict:
    """Break ``count`` files and read them, in a process of its own that is started again where it ends
    early."""
    verdict, begin = Verdict(), 0
    while begin < count:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            command = [sys.executable, "-m", "tests.mutations", str(begin), str(count), str(seed)]
            root = Path(__file__).resolve().parents[1]
            done = subprocess.run(
                [*command, *map(str, files)], stdout=out, stderr=errors, cwd=root, check=False
            )
            out.seek(0)
            errors.seek(0)
            lines = out.read().splitlines()
            said = errors.read()
        answered = [line.split("\t", 1) for line in lines if "\t" in line]
        for name, outcome in answered:
            verdict.outcomes[outcome] += 1
            if outcome.startswith("DEFECT"):
                verdict.defects.append(f"{name}: {outcome}")
        begin += len(answered)
        if said.strip():
            verdict.defects.append(f"on stderr before {begin}: {said[-2000:]}")
        if done.returncode or not answered:
            verdict.defects.append(f"{_name(files, begin, seed)}: the process ended with {done.returncode}")
            begin += 1
    return verdict


def _name(files: Sequence[Path], number: int, seed: int) -> str:
    return f"{files[number % len(files)].name} {seed}/{number}"


def read_broken(begin: int, end: int, seed: int, files: Sequence[Path]) -> Iterator[str]:
    """Break and read the files numbered ``begin`` to ``end``: lines "NAME SEED/NUMBER, a tab, the
    outcome"."""
    good = [(TARGETS.get(file.parent.name, TARGETS["frame"]), file.read_bytes()) for file in files]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(begin, end):
            target, data = good[number % len(good)]
            signal.alarm(SECONDS)
            try:
                outcome = target.try_bytes(mutate(data, f"{seed}/{number}"), Path(folder))
            except (MemoryError, Exception) as error:
                outcome = f"DEFECT: {type(error).__name__}: {error}".replace("\n", " ")
            signal.alarm(0)
            yield f"{_name(files, number, seed)}\t{outcome}"


def _limit_memory(names: Iterable[str]) -> None:
    """Read a file of each target first: what the libraries map is not a broken file's."""
    import SimpleITK  # noqa: F401

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            for seed in write_seeds(name, Path(folder, name)):
                TARGETS[name].try_bytes(seed.read_bytes(), Path(folder))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(begin: str, end: str, seed: str, *files: str) -> None:
    for name in ("nibabel.global", "pyraseg"):  # they say what they mend, and what is old
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _limit_memory({Path(file).parent.name for file in files} & TARGETS.keys() | {"frame"})
    warnings.simplefilter("always")
    # Our notes on what is read all the same; what a library warns of may quote a patient's attributes
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pyraseg\.|tests\.|__main__|PIL|torch")
    for line in read_broken(int(begin), int(end), int(seed), [Path(file) for file in files]):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
