"""``pyraseg listen``: what has come whole is predicted, and results go back."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pyraseg.pipeline.pacs.archive import instance_count
from pyraseg.pipeline.pacs.delivery import deliver
from pyraseg.pipeline.pacs.holding import holding
from pyraseg.pipeline.pacs.listening.arrivals import Arrivals, Outcome, images_of
from pyraseg.pipeline.pacs.listening.figures import Figures
from pyraseg.pipeline.pacs.listening.reception import Reception
from pyraseg.pipeline.pacs.listening.settings import Address
from pyraseg.pipeline.pacs.outbox import Outbox
from pyraseg.pipeline.pacs.outcome import Outcome as Sent
from pyraseg.pipeline.pacs.peers import DicomPeer, Peer
from pyraseg.pipeline.prediction.discovery.find_items import Discovered, find_items
from pyraseg.pipeline.prediction.engine import Engine, Settled, open_engine
from pyraseg.pipeline.prediction.job import Job
from pyraseg.pipeline.prediction.output.tables import Totals
from pyraseg.pipeline.prediction.plan import count
from pyraseg.pipeline.prediction.run import before_work
from pyraseg.pipeline.prediction.stopping import Stopping
from pyraseg.pipeline.utils.files import private_files, private_folder, write_json
from pyraseg.pipeline.writers.tables.item_records import Failure, Item, LeftOut
from pyraseg.transforms.dicom.files.header import parse_file
from pyraseg.transforms.errors import UsageError
from pyraseg.transforms.privacy import case_name

__all__ = ["IMAGES", "OUTBOX", "STATE", "Listening", "listen"]

IMAGES, OUTBOX, STATE = "received", "outbox", ".pyraseg"
ROUND = 16  # series that are predicted before the next are looked for
PAUSE = 0.1  # seconds
SHARE = 5  # times as long as tables take passes until they are written again
LEFT_OUT = 10_000  # that the tables name at most
LAST_TRY = 3.0  # seconds for what waits at the end, while it gets through


@dataclass(frozen=True)
class Listening:
    """The options.

    Attributes:
        jobs: a job for each bundle, by the bundle's name, with its own output folder.
        output: for what came, what waits and the results.
        address: where and from whom objects come; ``peers``: where results go.
        quiet: seconds without a new image, after which a series is complete.
        drop_others: images that no bundle takes are removed once their series is complete.
        metrics_port: on loopback; None for none.
        archive: whose count of a series must be reached before it is complete; None for none.
        commit: ask DIMSE peers for Storage Commitment, with our port for their reports (0: any).
    """

    jobs: Mapping[str, Job]
    output: Path
    address: Address
    peers: tuple[Peer, ...] = ()
    quiet: float = 10.0
    drop_others: bool = False
    metrics_port: int | None = None
    archive: Peer | None = None
    commit: int | None = None


def listen(options: Listening) -> Iterator[str]:
    """Listen until a signal comes, and yield lines to print: one for each item.

    The first Ctrl-C or SIGTERM drains: no new associations; what is coming, and what is complete, is done and
    sent. A second one ends at once. Either way the next start goes on.

    Raises:
        UsageError: bundle, weights, folder, port or certificates cannot be used.
        OutputError: the output folder is gone, or full.
        RunError: a process that cannot be replaced has ended.
        KeyboardInterrupt: a second signal came.
    """
    figures = Figures()
    with ExitStack() as held:
        with before_work():
            held.enter_context(private_files())
            held.enter_context(_hold(private_folder(options.output).absolute()))
            state = options.output.absolute()
            expected = None if options.archive is None else partial(_counted, options.archive)
            arrivals = Arrivals(
                state / IMAGES, state / STATE / "series", quiet=options.quiet, expected=expected
            )

            def hear(words: tuple[Any, ...]) -> None:
                arrivals.hear(words)
                figures.hear(words)

            outbox = held.enter_context(Outbox(state / OUTBOX, send=_sender(options, held)))
            metrics = held.enter_context(figures.served(options.metrics_port))
            reception = held.enter_context(Reception(options.address, state / IMAGES, hear))
            outbox.start()
        yield f"listening as {options.address.title} at {options.address.host}:{reception.port}"
        if metrics is not None:
            yield f"http://127.0.0.1:{metrics}/metrics and /healthz"
        engines = {}
        for name, job in options.jobs.items():
            with before_work():
                engines[name] = engine = held.enter_context(open_engine(job))
            algorithm = engine.bundle.algorithm
            yield f"bundle {name}, version {algorithm.version}, weights sha256 {algorithm.weights}"
            if algorithm.model:
                yield f"model: {algorithm.model}"
        listener = _Listener(options, engines, arrivals, reception, outbox, figures)
        figures.watch("waiting_series", "Series that have come and are not done.", lambda: len(arrivals))
        figures.watch("outbox_files", "Result files that wait.", lambda: outbox.counts().waiting)
        figures.watch("refused_files", "Result files refused for good.", lambda: outbox.counts().refused)
        with Stopping() as stopping:
            yield from listener.run(stopping)


@dataclass
class _Listener:
    """The main loop.

    Attributes:
        totals, items, left_out: by bundle, for its tables; items without their paths.
        stale: bundles whose tables are to be written.
    """

    options: Listening
    engines: Mapping[str, Engine]
    arrivals: Arrivals
    reception: Reception
    outbox: Outbox
    figures: Figures
    totals: dict[str, Totals] = field(default_factory=lambda: defaultdict(Totals))
    items: dict[str, dict[str, Item]] = field(default_factory=lambda: defaultdict(dict))
    left_out: dict[str, deque[LeftOut]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=LEFT_OUT))
    )
    stale: set[str] = field(default_factory=set)

    def run(self, stopping: Stopping) -> Iterator[str]:
        self._stopping, self._began = stopping, datetime.now(UTC)
        tables = 0.0
        while True:
            self._beat()
            ended = self.reception.ended  # asked first: what was told before its end is known by then
            series = self.arrivals.due(ROUND)
            yield from self.arrivals.remarks()
            if series:
                yield from self._round(series)
            elif self.stale and time.monotonic() >= tables:
                began = time.monotonic()
                self._write_tables()
                tables = time.monotonic() + SHARE * (time.monotonic() - began)
            elif ended:
                break
            else:
                time.sleep(PAUSE)
        self._write_tables(stopped=True)
        while not self.outbox.drain(LAST_TRY) and not any(map(self.outbox.failure, self.options.peers)):
            self._beat()
        yield from self._summary()

    def _beat(self) -> None:
        """Called about twice a second, by the engine too."""
        self.figures.beat()
        self.reception.check()
        if self._stopping.requested:
            self.reception.drain()

    def _round(self, series: Sequence[str]) -> Iterator[str]:
        """Predict series that are complete, by each bundle that takes them."""
        images = {each: found for each in series if (found := images_of(self.arrivals.images / each))}
        taken: set[str] = set()
        failed: set[str] = set()
        reasons: dict[str, Counter[str]] = defaultdict(Counter)
        for name, engine in self.engines.items():
            due: dict[str, tuple[str, Item]] = {}
            for each in images:
                content = find_items([self.arrivals.images / each], engine.rules)
                if not content.items and not content.failures:
                    reasons[each].update(left.reason for left in content.left_out)
                    continue
                taken.add(each)
                self.left_out[name] += content.left_out
                for failure in content.failures:
                    failed.add(each)
                    yield self._fail(name, failure)
                for item in content.items:
                    self.items[name][item.case] = replace(item, paths=(), stamps=())
                    if engine.folder.is_done(item):
                        self._hand_on(name, item)
                    else:
                        due[item.case] = each, item
            for settled in engine.run([item for _, item in due.values()], watch=[self._beat]):
                of = due[settled.item.case][0]
                if settled.failure is not None:
                    failed.add(of)
                yield self._settle(name, settled, last=max(path.stat().st_mtime for path in images[of]))
        for each, found_images in images.items():
            if each in taken:
                self.arrivals.settle(each, Outcome.of(found_images, failed=each in failed))
            else:
                yield self._leave(each, found_images, reasons[each])

    def _settle(self, name: str, settled: Settled, *, last: float) -> str:
        """Hand on the results of an item; the line about it."""
        item, totals = settled.item, self.totals[name]
        if settled.done is None:
            totals.failed += 1
            self.stale.add(name)
            self.figures.items.labels(name, "failed").inc()
            failure = settled.failure
            reason = "" if failure is None else f"{failure.reason}. {failure.remedy}"
            return f"{item.case} {name}: failed, {reason}"
        self._hand_on(name, item)
        done, seconds = settled.done, max(0.0, time.time() - last)
        totals.done, totals.frames = totals.done + 1, totals.frames + done.frames
        totals.flagged += bool(done.flags)
        self.stale.add(name)
        self.figures.items.labels(name, "done").inc()
        self.figures.seconds.labels(name).observe(seconds)
        flags = f", {', '.join(done.flags)}" if done.flags else ""
        frames = count(done.frames, "slice" if item.paths else "frame")
        return f"{item.case} {name}: done, {frames}{flags}; {seconds:.1f} s after its last image"

    def _fail(self, name: str, failure: Failure) -> str:
        """Record what cannot be an item; the line about it."""
        folder = self.engines[name].folder
        folder.withdraw(failure.case)
        folder.add_failure(failure)
        self.totals[name].failed += 1
        self.stale.add(name)
        self.figures.items.labels(name, "failed").inc()
        return f"{failure.case or 'an image'} {name}: failed, {failure.reason}. {failure.remedy}"

    def _hand_on(self, name: str, item: Item) -> None:
        """To the outbox, which knows what it has sent before."""
        folder = self.engines[name].folder
        record = folder.read(item.case)
        if record is not None:
            files = [
                folder.items / item.case / output for output in record.outputs if output.endswith(".dcm")
            ]
            for peer in self.options.peers if files else ():
                self.outbox.add(f"{name}/{item.case}", files, peer)

    def _leave(self, series: str, images: list[Path], reasons: Counter[str]) -> str:
        """What becomes of a series that no bundle takes."""
        self.figures.others.inc()
        if self.options.drop_others:
            self.arrivals.forget(series, images)
        else:
            self.arrivals.settle(series, Outcome.of(images))
        why = "; ".join(reason for reason, _ in reasons.most_common(3))
        what = "dropped" if self.options.drop_others else "kept"
        return f"{series}: no bundle takes it ({why}), {count(len(images), 'image')} {what}"

    def _write_tables(self, *, stopped: bool = False) -> None:
        for name in sorted(self.stale):
            totals = self.totals[name]
            totals.seconds = (datetime.now(UTC) - self._began).total_seconds()
            found = Discovered(tuple(self.items[name].values()), tuple(self.left_out[name]), ())
            self.engines[name].write_tables(found, totals, started=self._began, stopped=stopped)
        self.stale.clear()

    def _summary(self) -> Iterator[str]:
        done, failed = (
            sum(getattr(each, what) for each in self.totals.values()) for what in ("done", "failed")
        )
        yield f"ended: {count(done, 'item')} done, {failed} failed"
        if left := len(self.arrivals):
            yield f"{left} series not complete; the next start goes on"
        for peer in self.options.peers:
            if waiting := self.outbox.counts(peer).waiting:
                yield f"{count(waiting, 'file')} wait for {peer}; the next start goes on"


def _counted(archive: Peer, path: Path) -> int | None:
    """An archive's count of the series that a file is of.

    Raises:
        PeerError: it does not say.
    """
    parsed = parse_file(path, tags=("StudyInstanceUID", "SeriesInstanceUID"))
    return instance_count(archive, parsed.text("StudyInstanceUID"), parsed.text("SeriesInstanceUID"))


def _sender(options: Listening, held: ExitStack) -> Callable[[Sequence[Path], Peer], Iterable[Sent]]:
    """How results are sent; with commitment, reports are received as long as ``held``."""
    if options.commit is None:
        return deliver
    from pyraseg.pipeline.pacs.dimse.commitment import receiving_reports

    reports = {
        peer: held.enter_context(receiving_reports(peer, port=options.commit, patience=peer.timeout))
        for peer in options.peers
        if isinstance(peer, DicomPeer)
    }
    return lambda files, peer: deliver(
        files, peer, commitments=reports.get(peer) if isinstance(peer, DicomPeer) else None
    )


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Hold the output folder of one listener, whose names were made with one key.

    Raises:
        UsageError: another listener has it, or another key made its names, or it holds other files.
    """
    mark, wanted = folder / STATE / "listen.json", "an output folder for this listener"
    if not mark.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        remedy = "Name a new one with --output."
        raise UsageError(wanted, found="one that holds other files", remedy=remedy, path=folder)
    mark.parent.mkdir(exist_ok=True)
    with holding(mark.with_name("listen.lock"), "this output folder"):
        key = case_name("which key")
        if not mark.exists():
            write_json(mark, {"key": key})
        if json.loads(mark.read_bytes()).get("key") != key:
            remedy = "Set PYRASEG_HASH_KEY to the key of the first run, or name a new one with --output."
            found = "one whose names were made with another key"
            raise UsageError(wanted, found=found, remedy=remedy, path=folder)
        yield
