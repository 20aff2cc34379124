"""Which items a batch has: found by their headers alone, each file once, with a reason for whatever is
none."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyraseg.pipeline.prediction.discovery.acceptance_rules import Rules
from pyraseg.pipeline.prediction.discovery.input_files import Place, find_places
from pyraseg.pipeline.prediction.discovery.series_items import nifti_item, series_items
from pyraseg.pipeline.writers.tables.item_records import Failure, Item, LeftOut
from pyraseg.transforms.dicom.files.discover import DICOM_SUFFIXES
from pyraseg.transforms.dicom.files.header import has_dicom_marker
from pyraseg.transforms.dicom.files.objects import ObjectHeader, read_object
from pyraseg.transforms.errors import InputError, PyrasegError
from pyraseg.transforms.io.paths import is_nifti
from pyraseg.transforms.privacy import case_name

__all__ = ["COPY_OF", "Answer", "Found", "MapHeaders", "find_items", "header_or_error", "one_by_one"]

COPY_OF = "a copy of "
NAMED = 5  # of the files that share a UID, in the reason of each
Answer = ObjectHeader | PyrasegError
# Calls the function for every path, in processes or not, and yields the answers in the order of the paths.
MapHeaders = Callable[[Callable[[Path], Answer], Sequence[Path]], Iterable[Answer]]


@dataclass(frozen=True)
class Found:
    """What INPUTs hold: items, what the bundle does not take, and what should be an item and cannot; by file
    name."""

    items: tuple[Item, ...]
    left_out: tuple[LeftOut, ...]
    failures: tuple[Failure, ...]


def one_by_one(function: Callable[[Path], Answer], paths: Sequence[Path]) -> Iterator[Answer]:
    """The `MapHeaders` that needs no process."""
    return map(function, paths)


def header_or_error(path: Path) -> Answer:
    """What `MapHeaders` calls: a file's header, or the error that says why there is none."""
    try:
        return read_object(path)
    except PyrasegError as error:
        return error


def find_items(
    inputs: Sequence[Path],
    rules: Rules,
    *,
    map_headers: MapHeaders = one_by_one,
    without: Sequence[Path] = (),
) -> Found:
    """The items among INPUTs: files, folders, searched deeply, and DICOMDIRs.

    A case is named by the hash of the SOP Instance UID, of the file meta group where the data set has none;
    without either, of the file's name. Copies of one object, byte for byte, count once, by the first name.
    Different files with one UID are ambiguous: all of them fail, each with the others' names.

    Where the bundle's unit is a series its files are one item (`series_items`), and fail together. NIfTI
    volumes are items where they are named as INPUT by themselves; those in folders are left out, for label
    maps are NIfTI, too.

    Args:
        inputs: as typed.
        rules: of the bundle.
        map_headers: how to read many headers.
        without: folders that are not searched.

    Raises:
        InputError: an INPUT is not there.
        OutputError: there is no key to name cases with.
    """
    places = find_places(inputs, without=without)
    sorting = _Sorting(rules, list(places.left_out), list(places.failures))
    answers = map_headers(header_or_error, [place.path for place in places.files])
    for place, answer in zip(places.files, answers, strict=True):
        sorting.add(place, answer)
    sorting.part_copies()
    items = sorting.items()
    return Found(
        items=tuple(sorted(items, key=lambda item: item.file)),
        left_out=tuple(sorted(sorting.left_out, key=lambda left: left.file)),
        failures=tuple(sorted(sorting.failures, key=lambda failure: failure.file)),
    )


@dataclass
class _Sorting:
    """Where the files go, one after the other."""

    rules: Rules
    left_out: list[LeftOut]
    failures: list[Failure]
    taken: list[tuple[Place, ObjectHeader]] = field(default_factory=list)
    nifti: list[Item] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    def add(self, place: Place, answer: Answer) -> None:
        if isinstance(answer, PyrasegError):
            if self._is_nifti(place):
                self.nifti.append(nifti_item(place))
            elif self._is_foreign(place):
                self.left_out.append(LeftOut(place.file, f"no DICOM ({place.path.suffix.lower()})"))
            else:
                self.failures.append(Failure.of(answer, file=place.file))
                self.broken.add(place.path.parent)
        elif reason := self.rules.reason(answer):
            self.left_out.append(LeftOut(place.file, reason))
        elif not answer.sop_class_uid:
            remedy = "Export the file again; results could not refer to it."
            self.failures.append(
                Failure(place.file, "no SOP Class UID, in the data set or the file meta", remedy)
            )
            self.broken.add(place.path.parent)
        elif answer.problem and not (self.rules.volumes and answer.series_instance_uid):
            case = _case(place, answer)
            self.failures.append(Failure.of(answer.problem, file=place.file, case=case))
            self.broken.add(place.path.parent)
        else:
            self.taken.append((place, answer))

    def _is_nifti(self, place: Place) -> bool:
        return self.rules.volumes and place.asked and is_nifti(place.path)

    @staticmethod
    def _is_foreign(place: Place) -> bool:
        """Whether nothing says that this file should be DICOM: neither its suffix, nor its content, nor the
        user."""
        named = place.asked or place.path.suffix.lower() in DICOM_SUFFIXES
        return not named and not has_dicom_marker(place.path)

    def items(self) -> list[Item]:
        """What is to be done; a series that cannot be is a failure."""
        if not self.rules.volumes:
            return [_item(place, header) for place, header in self.taken]
        items, failures = series_items(self.taken, broken=self.broken)
        self.failures += failures
        return [*items, *self.nifti]

    def part_copies(self) -> None:
        """Keep the first of identical files; refuse different ones that claim to be one object."""
        groups: dict[str, list[tuple[Place, ObjectHeader]]] = defaultdict(list)
        for place, header in self.taken:
            groups[header.sop_instance_uid or f"file:{place.file}"].append((place, header))
        self.taken = []
        for group in groups.values():
            try:
                distinct = self._without_copies(group)
            except OSError as error:
                found = f"a file that cannot be compared with another of its UID ({error.strerror})"
                self.failures += [
                    Failure(place.file, found, "Try again.", _case(place, own)) for place, own in group
                ]
                continue
            if len(distinct) == 1:
                self.taken += distinct
            else:
                self._refuse(distinct)

    def _without_copies(self, group: list[tuple[Place, ObjectHeader]]) -> list[tuple[Place, ObjectHeader]]:
        distinct: list[tuple[Place, ObjectHeader]] = []
        for place, header in group:
            same = (first for first, _ in distinct if filecmp.cmp(first.path, place.path, shallow=False))
            original = next(same, None)
            if original is None:
                distinct.append((place, header))
            else:
                self.left_out.append(LeftOut(place.file, f"{COPY_OF}{original.file}"))
        return distinct

    def _refuse(self, group: list[tuple[Place, ObjectHeader]]) -> None:
        if self.rules.volumes:
            self.taken += [(place, replace(header, problem=_ambiguous())) for place, header in group]
            return
        remedy = "Keep the right one, or give each a SOP Instance UID of its own."
        for place, header in group:
            others = [other.file for other, _ in group if other is not place]
            listed = ", ".join(others[:NAMED]) + (
                f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
            )
            found = f"other content than {listed}, under the same SOP Instance UID"
            self.failures.append(Failure(place.file, found, remedy, _case(place, header)))


def _ambiguous() -> InputError:
    remedy = "Keep the right files, or give each a SOP Instance UID of its own."
    return InputError(
        "a SOP Instance UID of its own", found="files of other content under the same one", remedy=remedy
    )


def _case(place: Place, header: ObjectHeader) -> str:
    """A UID never begins with "file:", so that no file without one is named as another with one."""
    return case_name(header.sop_instance_uid or f"file:{place.file}")


def _item(place: Place, header: ObjectHeader) -> Item:
    if header.source is None:
        raise ValueError("an object without an image is no item")
    return Item(
        case=_case(place, header),
        source=header.source,
        file=place.file,
        size=header.size,
        modified_ns=header.modified_ns,
        notes=tuple(_notes(header)),
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
