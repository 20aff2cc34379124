"""Find the items of a batch by their headers, reading each file once, with a reason for every other file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pyraseg.pipeline.prediction.discovery.acceptance_rules import AcceptanceRules
from pyraseg.pipeline.prediction.discovery.input_files import InputFile, find_input_files
from pyraseg.pipeline.prediction.discovery.series_items import nifti_item, series_items, series_key
from pyraseg.pipeline.prediction.discovery.stored import Stored
from pyraseg.pipeline.prediction.processes.workers import Workers
from pyraseg.pipeline.writers.tables.item_records import Failure, Item, LeftOut
from pyraseg.transforms.dicom.copies import MapFiles, part_copies
from pyraseg.transforms.dicom.files.content import is_dicom
from pyraseg.transforms.dicom.files.discover import DICOM_SUFFIXES
from pyraseg.transforms.dicom.files.objects import ObjectHeader, read_object
from pyraseg.transforms.errors import InputError, PyrasegError, item_error
from pyraseg.transforms.io.paths import is_nifti

__all__ = ["COPY_OF", "Answer", "Discovered", "find_items", "header_or_error", "in_processes"]

COPY_OF = "a copy of "
NAMED = 5  # files with a shared UID that a reason names
CHUNK = 20  # files in one message; smaller where a process dies
SECONDS = 60.0  # the longest time for a chunk
MEMORY = 2**30  # bytes; a header takes some kilobytes
FEW = 500  # files read faster than processes start
COMPARED = 20_000  # files of shared UIDs that are compared at once
Answer = ObjectHeader | PyrasegError
_Member = tuple[InputFile, ObjectHeader]


@dataclass(frozen=True)
class Discovered:
    """The content of INPUTs: items, files that the bundle does not accept, and failures; by file name.

    Many items are on disk (`Stored`), and are read again each time.
    """

    items: Sequence[Item]
    left_out: tuple[LeftOut, ...]
    failures: tuple[Failure, ...]


def header_or_error(path: Path) -> Answer:
    """A file's header, or the error that says why there is none; for `MapFiles`."""
    try:
        return read_object(path)
    except Exception as error:  # one file's fault costs that file alone, whatever it is
        return item_error(error)


def in_processes(workers: int, *, few: int = FEW) -> MapFiles:
    """A `MapFiles` of ``workers`` supervised processes: a file that kills or hangs one costs only itself.

    pydicom holds the interpreter's lock, so threads would not help.

    Args:
        few: up to this many files are read by one process.
    """
    return partial(_map_in_processes, workers=workers, few=few)


@dataclass(frozen=True)
class _ReadChunk:
    """The task of the processes: call the function for each path of a chunk."""

    function: Callable[[Path], Any]

    def __call__(self, chunk: tuple[int, list[Path]], network: Any) -> list[Any]:
        return [self.function(path) for path in chunk[1]]


def _map_in_processes(
    function: Callable[[Path], Any], paths: Iterable[Path], *, workers: int, few: int
) -> Iterator[Any]:
    """The answers in the order of the paths; memory holds those that wait for an earlier one."""
    waiting = iter(paths)
    first = list(islice(waiting, max(few, CHUNK * workers) + 1))
    number = 1 if len(first) <= few else min(workers, -(-len(first) // CHUNK))
    chunks = _chunks(chain(first, waiting))
    again: deque[tuple[int, list[Path]]] = deque()
    answers: dict[int, Any] = {}
    following = 0

    def given() -> Iterator[tuple[int, list[Path]]]:
        while True:
            if again:
                yield again.popleft()
            elif (chunk := next(chunks, None)) is not None:
                yield chunk
            else:
                return

    task = _ReadChunk(function)
    with Workers(task, number=number, seconds=SECONDS, memory=MEMORY, preload=[__name__]) as pool:
        while True:
            for outcome in pool.run(given()):
                start, chunk = outcome.item
                if outcome.error is None:
                    answers.update(enumerate(outcome.result, start))
                elif len(chunk) == 1:
                    answers[start] = outcome.error
                else:
                    again.extend((index, [path]) for index, path in enumerate(chunk, start))
                while following in answers:
                    yield answers.pop(following)
                    following += 1
            if not again:
                return


def _chunks(paths: Iterator[Path]) -> Iterator[tuple[int, list[Path]]]:
    start = 0
    while chunk := list(islice(paths, CHUNK)):
        yield start, chunk
        start += len(chunk)


def find_items(
    inputs: Sequence[Path],
    rules: AcceptanceRules,
    *,
    map_files: MapFiles = map,
    without: Sequence[Path] = (),
) -> Discovered:
    """The items among INPUTs: files, folders (searched at any depth), and DICOMDIRs.

    A case is named by the hash of its SOP Instance UID, from the file meta group where the data set has none;
    without either, by the hash of its file name. Files of one image (`part_copies`) count once, by the first
    name. Different images with one UID are ambiguous: all of them fail, and each reason names the others.

    Where the bundle takes series, the files of a series are one item (`series_items`) and fail together.
    NIfTI volumes are items only where an INPUT names them, because label maps are NIfTI too.

    Args:
        inputs: as typed.
        rules: of the bundle.
        map_files: reads many files: their headers, and the pixels of those under one UID.
        without: folders that are not searched.

    Raises:
        InputError: an INPUT does not exist.
        OutputError: there is no key to name cases with.
    """
    files = find_input_files(inputs, without=without)
    sorting = _Sorting(rules, list(files.left_out), list(files.failures), map_files=map_files)
    answers = map_files(header_or_error, (file.path for file in files.files))
    for file, answer in zip(files.files, answers, strict=True):
        sorting.add(file, answer)
    sorting.part_copies()
    return Discovered(
        items=sorting.items().in_memory(),
        left_out=tuple(sorted(sorting.left_out, key=lambda left: left.file)),
        failures=tuple(sorted(sorting.failures, key=lambda failure: failure.file)),
    )


@dataclass
class _Sorting:
    """Sorts files one by one into accepted, left out and failed."""

    rules: AcceptanceRules
    left_out: list[LeftOut]
    failures: list[Failure]
    taken: Stored[_Member] = field(default_factory=Stored)  # by their UIDs
    members: Stored[_Member] = field(default_factory=Stored)  # of series
    found: Stored[Item] = field(default_factory=Stored)
    broken: set[Path] = field(default_factory=set)
    map_files: MapFiles = map

    def add(self, file: InputFile, answer: Answer) -> None:
        if isinstance(answer, PyrasegError):
            self._add_unread(file, answer)
        elif reason := self.rules.reason(answer):
            self.left_out.append(LeftOut(file.name, reason))
        elif not answer.sop_class_uid:
            reason = "no SOP Class UID, in the data set or the file meta"
            remedy = "Export the file again; results could not refer to it."
            self._fail(file, Failure(file.name, reason, remedy))
        elif answer.problem and not (self.rules.volumes and answer.series_instance_uid):
            case = file.case(answer.sop_instance_uid)
            self._fail(file, Failure.of(answer.problem, file=file.name, case=case))
        else:
            uid = answer.sop_instance_uid
            self.taken.add(f"uid {uid}" if uid else f"file {file.name}", (file, answer))

    def _add_unread(self, file: InputFile, error: PyrasegError) -> None:
        if self.rules.volumes and file.asked and is_nifti(file.path):
            self.found.add(file.name, nifti_item(file))
        elif file.asked or file.path.suffix.lower() in DICOM_SUFFIXES or is_dicom(file.path):
            self._fail(file, Failure.of(error, file=file.name))
        else:  # neither suffix, content nor the user says that it is DICOM
            self.left_out.append(LeftOut(file.name, f"no DICOM ({file.path.suffix.lower()})"))

    def _fail(self, file: InputFile, failure: Failure) -> None:
        self.failures.append(failure)
        self.broken.add(file.path.parent)

    def items(self) -> Stored[Item]:
        """The items to predict; a series that cannot be used is a failure."""
        for group in self.members.groups():
            items, failures, captures = series_items(group, broken=self.broken)
            self.failures += failures
            self.left_out += captures
            for item in items:
                self.found.add(item.file, item)
        return self.found

    def part_copies(self) -> None:
        """Keep the first of the files of one image; refuse different images with one UID."""
        several: list[list[_Member]] = []
        for group in self.taken.groups():
            if len(group) == 1:
                self._keep(*group[0])
                continue
            several.append(group)
            if sum(map(len, several)) > COMPARED:
                self._part(several)
                several = []
        self._part(several)

    def _keep(self, file: InputFile, header: ObjectHeader) -> None:
        if self.rules.volumes:
            self.members.add(series_key(file, header), (file, header))
        else:
            self.found.add(file.name, _item(file, header))

    def _part(self, groups: list[list[_Member]]) -> None:
        members = {file.path: (file, header) for group in groups for file, header in group}
        paths = [[file.path for file, _ in group] for group in groups]
        parted = part_copies(paths, map_files=self.map_files)
        for group, images in zip(groups, parted, strict=True):
            if isinstance(images, PyrasegError):
                found = f"one that cannot be compared with another of its UID ({images.found})"
                self._refuse(group, images.restated(found=found))
                continue
            for original, *copies in images:
                reason = f"{COPY_OF}{members[original][0].name}"
                self.left_out += [LeftOut(members[copy][0].name, reason) for copy in copies]
            kept = [members[first] for first, *_ in images]
            if len(kept) == 1:
                self._keep(*kept[0])
            else:
                self._refuse(kept, _several(kept))

    def _refuse(self, group: list[_Member], problem: PyrasegError) -> None:
        for file, header in group:
            if self.rules.volumes:  # without the slice there would be a gap: the series fails
                self._keep(file, replace(header, problem=problem))
            else:
                case = file.case(header.sop_instance_uid)
                self.failures.append(Failure.of(problem, file=file.name, case=case))


def _several(group: list[_Member]) -> PyrasegError:
    names = ", ".join(file.name for file, _ in group[:NAMED])
    more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
    return InputError(
        "a UID of its own for each image",
        found=f"files of other content under the same SOP Instance UID: {names}{more}",
        remedy="Keep the right one, or give each a SOP Instance UID of its own.",
    )


def _item(file: InputFile, header: ObjectHeader) -> Item:
    if header.source is None:
        raise ValueError("an object without an image is no item")
    return Item(
        case=file.case(header.sop_instance_uid),
        source=header.source,
        file=file.name,
        size=header.size,
        modified_ns=header.modified_ns,
        notes=tuple(_notes(header)),
        stamps=(header.source.stamp,),
    )


def _notes(header: ObjectHeader) -> Iterator[str]:
    if not header.sop_instance_uid:
        yield "no SOP Instance UID: the case is named by the file"
    elif not header.own_instance_uid:
        yield "SOP Instance UID from the file meta group"
    if not header.modality:
        yield "no Modality: taken for its SOP class"
    if not header.study_instance_uid:
        yield "no Study Instance UID"
