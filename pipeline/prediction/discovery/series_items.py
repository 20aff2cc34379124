"""Series as items: all files with one Series Instance UID, whatever their folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from pyraseg.pipeline.prediction.discovery.input_files import InputFile
from pyraseg.pipeline.writers.tables.item_records import Failure, Item, LeftOut
from pyraseg.transforms.dicom.files.objects import ObjectHeader
from pyraseg.transforms.dicom.pixels.checks import is_secondary_capture
from pyraseg.transforms.dicom.series.find import AMONG_SLICES
from pyraseg.transforms.errors import PyrasegError
from pyraseg.transforms.records import SourceRef

__all__ = ["nifti_item", "series_items", "series_key"]

Member = tuple[InputFile, ObjectHeader]


def series_items(
    members: Iterable[Member], *, broken: Set[Path]
) -> tuple[list[Item], list[Failure], list[LeftOut]]:
    """One item for each series, named by its first file; a failure where a slice would be missing.

    Secondary captures among the slices of a series are left out.

    A series without a Series Instance UID is told by its folder and study. Its case is named by the hash of
    that UID; without one, by the hash of its first file's name.

    Args:
        members: the files that the bundle accepts, without copies.
        broken: folders with a file that cannot be read, which may be a slice.
    """
    groups: dict[str, list[Member]] = defaultdict(list)
    for file, header in members:
        groups[series_key(file, header)].append((file, header))
    items, failures, left_out = [], [], []
    for found in groups.values():
        found.sort(key=lambda member: member[0].name)
        captures = [member for member in found if is_secondary_capture(member[1].sop_class_uid)]
        group = found
        if len(captures) < len(found):
            left_out += [LeftOut(file.name, AMONG_SLICES) for file, _ in captures]
            group = [member for member in found if not is_secondary_capture(member[1].sop_class_uid)]
        if (failure := _failure(group)) is not None:
            failures.append(failure)
        else:
            items.append(_item(group, broken))
    return items, failures, left_out


def series_key(file: InputFile, header: ObjectHeader) -> str:
    """What the files of one series have in common."""
    if header.series_instance_uid:
        return f"uid {header.series_instance_uid}"
    return f"folder {file.path.parent}\0{header.study_instance_uid}"


def nifti_item(file: InputFile) -> Item:
    """A NIfTI volume; only its file name identifies it.

    Raises:
        OSError: the file cannot be accessed.
    """
    status = file.path.stat()
    return Item(
        case=file.case(""),
        source=SourceRef(str(file.path), "", "", "", "", "", 1, 0, 0),
        file=file.name,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        notes=("NIfTI: no SEG, SR or RTSTRUCT, which refer to a DICOM series",),
        paths=(str(file.path),),
        slices=1,
    )


def _case(group: list[Member]) -> str:
    file, header = group[0]
    return file.case(header.series_instance_uid)


def _failure(group: list[Member]) -> Failure | None:
    problems: list[PyrasegError] = [header.problem for _, header in group if header.problem is not None]
    if not problems:
        return None
    first, number = problems[0], f"{len(problems)} of its {len(group)} files: "
    reason = f"a series with {number}wanted {first.wanted}, found {first.found}"
    return Failure(group[0][0].name, reason, first.remedy, _case(group))


def _item(group: list[Member], broken: Set[Path]) -> Item:
    file, header = group[0]
    if header.source is None:
        raise ValueError("an object without an image is no item")
    sources = [each.source for _, each in group if each.source is not None]
    return Item(
        case=_case(group),
        source=header.source,
        file=file.name,
        size=sum(each.size for _, each in group),
        modified_ns=sum(each.modified_ns for _, each in group),
        notes=tuple(_notes(group, broken)),
        paths=tuple(str(member.path) for member, _ in group),
        slices=sum(source.number_of_frames for source in sources),
        stamps=tuple(source.stamp for source in sources),
    )


def _notes(group: list[Member], broken: Set[Path]) -> Iterator[str]:
    headers = [header for _, header in group]
    if not headers[0].series_instance_uid:
        yield "no Series Instance UID: the case is named by its first file"
    if not headers[0].study_instance_uid:
        yield "no Study Instance UID"
    if not all(header.modality for header in headers):
        yield "no Modality: taken for its SOP class"
    if broken & {file.path.parent for file, _ in group}:
        beside = "a file beside it could not be read"
        yield f"{beside}; if it was its first or last slice, the volume is short of it"
