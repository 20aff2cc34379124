"""``python -m tests.fuzz [TARGET ...] [--seconds S] [--runs N] [--folder DIR]``: coverage-guided fuzzing.

Each target runs in a process of its own with its share of the time, and is started again where an input ends
it. The folder keeps the corpus, with which the next run goes on, and the findings: an input and what it
raised, one for each place. Prints a Markdown table; ends with status 1 where something was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

OURS = ("pyraseg", "pydicom", "nibabel", "PIL")  # instrumented
SECONDS = 20  # for one input; a slow machine under load is no hang
MEMORY = 2**31  # bytes for one input above what the libraries take
LARGEST = 2**16  # bytes of an input
RUNS = re.compile(r"(?:^#|executed_units: )(\d+)", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all by default")
    parser.add_argument("--seconds", type=float, default=600.0, metavar="S", help="in all (default 600)")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="of each target at most")
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="of corpus and findings")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed here (pip install 'pyraseg[fuzz]'): nothing was fuzzed")
        return 0
    if arguments.one:
        return fuzz(arguments.targets[0], arguments.folder, seconds=arguments.seconds, runs=arguments.runs)
    from tests.fuzz.targets import TARGETS

    names = arguments.targets or list(TARGETS)
    print("| target | runs | seconds | findings |\n| --- | --- | --- | --- |", flush=True)
    found = 0
    for name in names:
        begin = time.monotonic()
        runs = supervise(name, arguments.folder, seconds=arguments.seconds / len(names), runs=arguments.runs)
        here = len(list((arguments.folder / "findings" / name).iterdir()))
        print(f"| {name} | {runs} | {time.monotonic() - begin:.0f} | {here} |", flush=True)
        found += here
    return 1 if found else 0


def supervise(name: str, folder: Path, *, seconds: float, runs: int) -> int:
    """Fuzz a target in a process, again and again until its time is over; how many inputs it has read."""
    (folder / "findings" / name).mkdir(parents=True, exist_ok=True)
    end, done = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 1 and (not runs or done < runs):
        command = [sys.executable, "-m", "tests.fuzz", name, "--one", "--folder", str(folder)]
        command += ["--seconds", str(int(left) + 1), "--runs", str(runs - done if runs else 0)]
        log = folder / f"{name}.log"
        with log.open("wb") as file, tempfile.TemporaryDirectory(prefix="pyraseg-fuzz-") as scratch:
            variables = os.environ | {"TMPDIR": scratch}  # removed however the process ends
            subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=variables, check=False)
        counts = [int(count) for count in RUNS.findall(log.read_text(encoding="utf-8", errors="replace"))]
        if not counts:
            (folder / "findings" / name / "start").write_bytes(log.read_bytes()[-10_000:])
            break
        done += max(counts)
    return done


def fuzz(name: str, folder: Path, *, seconds: float, runs: int) -> int:
    """Fuzz a target in this process, which ends with it."""
    import atheris

    os.environ["PYRASEG_HASH_KEY"] = "the key of the fuzzer"
    warnings.simplefilter("ignore")
    corpus, findings = folder / "corpus" / name, folder / "findings" / name
    corpus.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp())
    with atheris.instrument_imports(include=list(OURS)):
        from tests.fuzz.targets import TARGETS, write_seeds

        target = TARGETS[name]
        for seed in write_seeds(name, corpus):  # what is imported late, is instrumented too
            target.try_bytes(seed.read_bytes(), scratch)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))

    def try_one(data: bytes) -> None:
        try:
            target.try_bytes(data, scratch)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it is: also the panics of decoders in Rust
            keep(findings, data, error)

    options: dict[str, Any] = {"max_total_time": int(seconds), "timeout": SECONDS, "max_len": LARGEST}
    options |= {"rss_limit_mb": 0, "print_final_stats": 1, "artifact_prefix": f"{findings}/"}
    options |= {"runs": runs} if runs else {}
    atheris.Setup([sys.argv[0], str(corpus), *(f"-{key}={value}" for key, value in options.items())], try_one)
    atheris.Fuzz()
    return 0


def keep(findings: Path, data: bytes, error: BaseException) -> None:
    """Write an input and the traceback, once for each kind and place."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "tests" not in frame.filename]
    place = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "here"
    path = findings / f"{type(error).__name__}-{place}"
    if not path.exists():
        path.write_bytes(data)
        path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
