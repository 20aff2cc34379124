"""The options of ``pyraseg datalist``, and what they do; cheap to import, for ``--help``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyraseg.pipeline.datalist.build import Source

__all__ = ["add_arguments", "run"]

EXAMPLES = """\
examples:
  frames and masks of the same names, patients told by the names (images/P1_003.png):
    --images images --labels masks --group-pattern 'images/([A-Z0-9]+)_' --label-map 255=hydronephrosis
  NIfTI volumes beside their masks, P1_image.nii.gz and P1_mask.nii.gz, of one or several folders below DIR:
    --images DIR --labels DIR --image-suffix _image --label-suffix _mask --group-from stem --label-map 1=tumour
  folders of NIfTI volumes and of masks with the same names:
    --images DIR/images --labels DIR/labels --group-from stem --label-map 1=liver,2=tumour
  DICOM series with the RTSTRUCT or SEG drawn on them, anywhere below DIR; patients told by Patient ID:
    --series DIR --modality ct --label-map "GTV_Mass=tumour"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: where the data is, what keeps together, the labels, the split."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    _add_source(parser)
    _add_grouping(parser)
    _add_split(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group(
        "the data, from a table, from folders of equal names, or from DICOM series"
    )
    data.add_argument(
        "--table", metavar="CSV", help="a row for each image; paths relative to the table's folder"
    )
    data.add_argument(
        "--image", default="image", metavar="COLUMN", help="the table's column of images (default image)"
    )
    data.add_argument(
        "--label", default="label", metavar="COLUMN", help="the column of masks (default label)"
    )
    data.add_argument(
        "--group", default="group", metavar="COLUMN", help="the column to split on (default group)"
    )
    data.add_argument(
        "--class",
        dest="category",
        metavar="COLUMN",
        help="a column with a class of the whole image, to balance",
    )
    data.add_argument(
        "--images", metavar="DIR", help="a folder of images (DICOM, NIfTI, PNG, JPEG; folders of series)"
    )
    data.add_argument(
        "--labels",
        metavar="DIR",
        help="a folder of masks with the same names; STEM_f002 for frame 2 of a cine",
    )
    data.add_argument(
        "--image-suffix", default="", metavar="TEXT", help='what images have behind the stem: "_image"'
    )
    data.add_argument(
        "--label-suffix", default="", metavar="TEXT", help='what masks have behind the stem: "_mask"'
    )
    _add_series(data)
    data.add_argument(
        "--dataset_dir",
        "--dataset-dir",
        metavar="DIR",
        help="what paths are relative to (default: holds both)",
    )
    data.add_argument(
        "--label-map",
        action="append",
        metavar="VALUE=NAME",
        help="mask values (or numbers or names of segments and regions) and their classes, 255=hydronephrosis; "
        "repeatable, or with commas; where parts of a SEG or RTSTRUCT overlap the class given later counts",
    )


def _add_series(data: argparse._ArgumentGroup) -> None:
    data.add_argument(
        "--series",
        metavar="DIR",
        help="DICOM series, a folder each, with the SEG or RTSTRUCT that refers to each",
    )
    data.add_argument("--modality", choices=("ct", "mr", "pet"), help="take only these series")
    data.add_argument("--label-kind", choices=("seg", "rtstruct"), help="take only these labels")


def _add_grouping(parser: argparse.ArgumentParser) -> None:
    groups = parser.add_argument_group("what the split keeps together")
    groups.add_argument(
        "--group-pattern", metavar="REGEX", help=r"on the image's path, for example 'images/(\w+)_\d+'"
    )
    groups.add_argument(
        "--group-from",
        choices=("parent", "patient_id", "file", "stem"),
        help="the parent folder, DICOM's PatientID (default with --series), each file by itself, or the name of the "
        "file, whatever folder it lies in (patients as files, modalities as folders)",
    )
    groups.add_argument(
        "--keep-groups", action="store_true", help="write the groups' names; without it, keyed hashes of them"
    )


def _add_split(parser: argparse.ArgumentParser) -> None:
    split = parser.add_argument_group("the split")
    split.add_argument(
        "--fractions",
        nargs=3,
        type=float,
        default=(0.7, 0.1, 0.2),
        metavar=("TRAINING", "VALIDATION", "TEST"),
        help="parts of 1 (default 0.7 0.1 0.2)",
    )
    split.add_argument(
        "--folds", type=int, metavar="K", help="K folds for training and validation, beside the test fraction"
    )
    split.add_argument("--seed", type=int, default=0, help="same seed, same split (default 0)")
    split.add_argument(
        "--no-duplicates-check", action="store_true", help="do not look for one file in two groups"
    )
    split.add_argument("--strict", action="store_true", help="stop where anything would be left out")
    split.add_argument("--output", required=True, metavar="JSON", help="the datalist to write")


def run(arguments: argparse.Namespace) -> list[str]:
    """Build the datalist and return the report's lines.

    Raises:
        PyrasegError: whatever ``build_datalist`` refuses, or neither a table nor folders.
    """
    from pyraseg.pipeline.datalist.build import build_datalist

    report = build_datalist(
        _source(arguments),
        arguments.output,
        label_map=arguments.label_map,
        fractions=arguments.fractions,
        folds=arguments.folds,
        seed=arguments.seed,
        keep_groups=arguments.keep_groups,
        find_duplicates=not arguments.no_duplicates_check,
        strict=arguments.strict,
    )
    return report.lines()


def _source(arguments: argparse.Namespace) -> Source:
    from pyraseg.pipeline.datalist.sources.table import TableSource
    from pyraseg.transforms.errors import DatalistError

    folders = arguments.images is not None and arguments.labels is not None
    given = [arguments.table is not None, folders, arguments.series is not None]
    if sum(given) != 1:
        raise DatalistError(
            "a table, or a folder of images and one of masks, or one of DICOM series",
            found="several of them" if any(given) else "none of them",
            remedy="Give --table, or --images and --labels, or --series.",
        )
    if arguments.series is None and (arguments.modality or arguments.label_kind):
        remedy = "Give --series, or leave these options out."
        raise DatalistError(
            "--series with --modality and --label-kind", found="another source", remedy=remedy
        )
    if arguments.table is not None:
        return TableSource(
            arguments.table, arguments.image, arguments.label, arguments.group, arguments.category
        )
    return _folder_source(arguments) if folders else _series_source(arguments)


def _folder_source(arguments: argparse.Namespace) -> Source:
    from pyraseg.pipeline.datalist.groups import Grouping
    from pyraseg.pipeline.datalist.sources.folders import FolderSource

    return FolderSource(
        arguments.images,
        arguments.labels,
        Grouping(pattern=arguments.group_pattern, source=arguments.group_from),
        dataset_dir=arguments.dataset_dir,
        label_suffix=arguments.label_suffix,
        image_suffix=arguments.image_suffix,
    )


def _series_source(arguments: argparse.Namespace) -> Source:
    from pyraseg.pipeline.datalist.groups import Grouping
    from pyraseg.pipeline.datalist.sources.series import PATIENT, SeriesSource

    grouping = Grouping(pattern=arguments.group_pattern, source=arguments.group_from)
    return SeriesSource(
        arguments.series,
        PATIENT if grouping == Grouping() else grouping,
        modality=arguments.modality,
        label_kind=arguments.label_kind,
        dataset_dir=arguments.dataset_dir,
    )
