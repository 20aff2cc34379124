"""``pyraseg datalist``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.utils.reading_options import add_reading_options, reading_options
from pyraseg.transforms.errors import DatalistError

if TYPE_CHECKING:
    from pyraseg.pipeline.datalist import FolderSource, Grouping, SeriesSource, TableSource

__all__ = ["Datalist"]

GROUP_FROM = ("parent", "patient_id", "file", "stem")
MODALITIES = ("ct", "mr", "pet")
LABEL_KINDS = ("seg", "rtstruct")
EXAMPLES = """\
examples:
  frames and masks of the same names, patients told by the names (images/P1_003.png):
    --images images --labels masks --group-pattern 'images/([A-Z0-9]+)_' --label-map 255=hydronephrosis
  NIfTI volumes beside their masks, P1_image.nii.gz and P1_mask.nii.gz, of one or several folders below DIR:
    --images DIR --labels DIR --image-suffix _image --label-suffix _mask --group-from stem --label-map 1=liver
  folders of NIfTI volumes and of masks with the same names:
    --images DIR/images --labels DIR/labels --group-from stem --label-map 1=liver,2=tumour
  DICOM series with the RTSTRUCT or SEG drawn on them, anywhere below DIR; patients told by Patient ID:
    --series DIR --modality ct --label-map "GTV_Mass=tumour"
"""


class Datalist(Verb):
    """Split a data set into training, validation and test by group and write the datalist JSON."""

    name = "datalist"
    help = "make a datalist (split by patient) from folders or from a table"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
        self._add_sources(parser)
        self._add_split(parser)

    def _add_sources(self, parser: argparse.ArgumentParser) -> None:
        title = "the data, from a table, from folders of equal names, or from DICOM series"
        add = parser.add_argument_group(title).add_argument
        add("--table", metavar="CSV", help="a row for each image; paths relative to the table's folder")
        images = "the table's column of images (default image)"
        add("--image", default="image", metavar="COLUMN", help=images)
        add("--label", default="label", metavar="COLUMN", help="the column of masks (default label)")
        add("--group", default="group", metavar="COLUMN", help="the column to split on (default group)")
        category = "a column with a class of the whole image, to balance"
        add("--class", dest="category", metavar="COLUMN", help=category)
        images = "a folder of images (DICOM, NIfTI, PNG, JPEG; folders of series)"
        add("--images", metavar="DIR", help=images)
        masks = "a folder of masks with the same names; STEM_f002 for frame 2 of a cine"
        add("--labels", metavar="DIR", help=masks)
        suffix = 'what images have behind the stem: "_image"'
        add("--image-suffix", default="", metavar="TEXT", help=suffix)
        suffix = 'what masks have behind the stem: "_mask"'
        add("--label-suffix", default="", metavar="TEXT", help=suffix)
        series = "DICOM series, a folder each, with the SEG or RTSTRUCT that refers to each"
        add("--series", metavar="DIR", help=series)
        add("--modality", choices=MODALITIES, help="take only these series")
        add("--label-kind", choices=LABEL_KINDS, help="take only these labels")
        background = (
            "images for training that show none of the classes: frames, volumes or series as the others, "
            "of patients that are told apart as theirs"
        )
        add("--background", metavar="DIR", help=background)
        root = "what paths are relative to (default: holds both)"
        add("--dataset_dir", "--dataset-dir", metavar="DIR", help=root)
        label_map = (
            "mask values (or numbers or names of segments and regions) and their classes, "
            "255=hydronephrosis; repeatable, or with commas; where parts of a SEG or RTSTRUCT overlap "
            "the class given later counts"
        )
        add("--label-map", action="append", metavar="VALUE=NAME", help=label_map)
        title = "how series and what was drawn on them are read; the datalist keeps it for training"
        add_reading_options(parser.add_argument_group(title).add_argument)

    def _add_split(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument_group("what the split keeps together").add_argument
        pattern = r"on the image's path, for example 'images/(\w+)_\d+'"
        add("--group-pattern", metavar="REGEX", help=pattern)
        groups = (
            "the parent folder, DICOM's PatientID (default with --series), each file by itself, or the name "
            "of the file, whatever folder it lies in (patients as files, modalities as folders)"
        )
        add("--group-from", choices=GROUP_FROM, help=groups)
        keep = "write the groups' names; without it, keyed hashes of them"
        add("--keep-groups", action="store_true", help=keep)

        add = parser.add_argument_group("the split").add_argument
        parts, default = ("TRAINING", "VALIDATION", "TEST"), (0.7, 0.1, 0.2)
        fractions = "parts of 1 (default 0.7 0.1 0.2)"
        add("--fractions", nargs=3, type=float, default=default, metavar=parts, help=fractions)
        folds = "K folds for training and validation, beside the test fraction"
        add("--folds", type=int, metavar="K", help=folds)
        add("--seed", type=int, default=0, help="same seed, same split (default 0)")
        duplicates = "do not look for one file in two groups"
        add("--no-duplicates-check", action="store_true", help=duplicates)
        add("--strict", action="store_true", help="stop where anything would be left out")
        add("--output", required=True, metavar="JSON", help="the datalist to write")

    def run(self, arguments: argparse.Namespace) -> list[str]:
        from pyraseg.pipeline.datalist import BackgroundSource, build_datalist

        folder = arguments.background
        same = ("label_map", "fractions", "folds", "seed", "keep_groups", "strict")
        return build_datalist(
            _source(arguments),
            arguments.output,
            find_duplicates=not arguments.no_duplicates_check,
            reading=reading_options(arguments),
            background=BackgroundSource(folder, _grouping(arguments)) if folder is not None else None,
            **{name: getattr(arguments, name) for name in same},
        ).lines()


def _source(arguments: argparse.Namespace) -> TableSource | FolderSource | SeriesSource:
    """The table, folders or series that the options name.

    Raises:
        DatalistError: none or several are named.
    """
    from pyraseg.pipeline.datalist import FolderSource, SeriesSource, TableSource

    folders = arguments.images is not None and arguments.labels is not None
    given = [arguments.table is not None, folders, arguments.series is not None]
    if sum(given) != 1:
        raise DatalistError(
            "a table, or a folder of images and one of masks, or one of DICOM series",
            found="several of them" if any(given) else "none of them",
            remedy="Give --table, or --images and --labels, or --series.",
        )
    if arguments.series is None and (arguments.modality or arguments.label_kind):
        wanted, remedy = "--series with --modality and --label-kind", "Give --series, or leave these out."
        raise DatalistError(wanted, found="another source", remedy=remedy)
    if arguments.table is not None:
        columns = (arguments.image, arguments.label, arguments.group, arguments.category)
        return TableSource(arguments.table, *columns)
    grouping = _grouping(arguments)
    if arguments.series is not None:
        return SeriesSource(
            arguments.series,
            grouping,
            modality=arguments.modality,
            label_kind=arguments.label_kind,
            dataset_dir=arguments.dataset_dir,
        )
    return FolderSource(
        arguments.images,
        arguments.labels,
        grouping,
        dataset_dir=arguments.dataset_dir,
        label_suffix=arguments.label_suffix,
        image_suffix=arguments.image_suffix,
    )


def _grouping(arguments: argparse.Namespace) -> Grouping:
    from pyraseg.pipeline.datalist import Grouping

    source = arguments.group_from
    if arguments.series is not None and arguments.group_pattern is None and source is None:
        source = "patient_id"
    return Grouping(pattern=arguments.group_pattern, source=source)
