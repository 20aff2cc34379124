"""The sections of a bundle's ``configs/metadata.json`` for pyraseg, checked before anything runs.

Each section is a frozen record that refuses unknown keys. The file's other keys are the model zoo's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydicom.uid import RE_VALID_UID

from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.io.reading_options import OF_FRAMES, ReadingOptions
from pyraseg.transforms.records import Code

__all__ = [
    "BundleMetadata",
    "DeclaredEvaluation",
    "DeclaredPrediction",
    "DeclaredQuantity",
    "DeclaredSegment",
    "Review",
    "SurfaceTolerance",
]

FILE = "configs/metadata.json"
MOVED = ("network", "preprocessing", "postprocessing")  # sections of earlier versions, now in the configs


def _refuse(wanted: str, *, found: str = "", known: Iterable[str] = ()) -> NoReturn:
    """Refuse a value in a pydantic check; the remedy names the nearest of ``known``."""
    context = {"wanted": wanted, "found": found, "known": list(known)}
    raise PydanticCustomError("refused", "{wanted}", context)


def _says(wanted: str) -> WrapValidator:
    """Make a type refuse any wrong value with one phrase."""

    def validate(value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(value)
        except ValidationError:
            _refuse(wanted)

    return WrapValidator(validate)


def _ascending(value: Any, check: Callable[[Any], Any]) -> Any:
    low, high = check(value)
    if not low < high:
        raise ValueError
    return low, high


def _code(value: Any) -> Code | None:
    match value:
        case None:
            return None
        case [str() as code, str() as scheme, str() as meaning] if code and scheme and meaning:
            return Code(code, scheme, meaning)
    _refuse("a code as [value, coding scheme, meaning]")


def _reading(value: Any) -> ReadingOptions:
    try:
        options = ReadingOptions.of(value)
    except ConfigError as error:
        _refuse(error.wanted, found=error.found)
    if options.series is not None:
        _refuse("reading options of every data set", found="series, which depends on the folder")
    return options


LIST = Field(strict=False)  # JSON has lists where the records have tuples
Text = Annotated[str, Field(min_length=1), _says("a text")]
Texts = Annotated[tuple[Text, ...], LIST, _says("a list of texts")]
SomeTexts = Annotated[
    tuple[Text, ...], Field(strict=False, min_length=1), _says("a list of at least one text")
]
CodeOrNone = Annotated[Code | None, PlainValidator(_code)]
Byte = Annotated[int, Field(ge=0, le=255)]
Colour = Annotated[tuple[Byte, Byte, Byte], LIST, _says("a colour of three integers from 0 to 255")]
Fraction = Annotated[float, Field(ge=0, le=1), _says("a number from 0 to 1")]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), _says("a number of 0 or more")]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Sizes = Annotated[tuple[Size, Size], LIST, WrapValidator(_ascending), _says("[smallest, largest], ascending")]
UID = Annotated[str, Field(pattern=RE_VALID_UID)]


Rate = Literal["missed", "false_alarms", "false_lesions"]
Kind = Literal["colour_doppler", "without_tissue", "3d_rendering", "localizer"]


class _Section(BaseModel):
    """A mapping with the record's fields as its only keys; no value is converted to another type."""

    model_config = ConfigDict(frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, declared: Any) -> Any:
        if isinstance(declared, cls):
            return declared
        keys = f"the keys {', '.join(cls.model_fields)}"
        if not isinstance(declared, Mapping):
            _refuse(f"a mapping with {keys}")
        for key in declared:
            if key not in cls.model_fields:
                _refuse(keys, found=f'"{key}"', known=cls.model_fields)
        return dict(declared)


class DeclaredSegment(_Section):
    """A class of the label map: its name, and how pictures and DICOM objects show it."""

    name: Text
    value: int | None = None
    colour: Colour | None = None
    category: CodeOrNone = None
    type: CodeOrNone = None


class DeclaredQuantity(_Section):
    """A quantity to measure: its name, the measure, its segments, and its code for a report."""

    name: Text
    measure: Text
    segments: SomeTexts
    code: CodeOrNone = None


class Review(_Section):
    """When a result is flagged for a person to look at.

    Attributes:
        low_confidence: below this mean probability of the winning class over the foreground, from 0 to 1.
        expected: the classes that every frame or volume should show.
        area_mm2: the smallest and the largest plausible area of a class, in mm2.
        volume_ml: the same for its volume in ml, where items are volumes.
        colour_fraction: above this coloured fraction of the tissue, 0 to 1, it looks like colour Doppler.
    """

    low_confidence: Fraction | None = None
    expected: Texts = ()
    area_mm2: dict[str, Sizes] = {}
    volume_ml: dict[str, Sizes] = {}
    colour_fraction: Fraction | None = None


class DeclaredPrediction(_Section):
    """Which DICOM objects the bundle takes, and how its results are judged.

    Attributes:
        unit: of an item: "file", a single frame or a cine; "series", the slices of a volume.
        modalities: (0008,0060), such as "US".
        sop_classes: their UIDs and names, retired ones too.
        leave_out: kinds of images of these classes that are left out.
        key_frame: the class whose largest area selects the key frame of a cine; None for all together.
        review: the thresholds of the review flags.
        trained_on: a sentence on the model's training data, for reports.
    """

    unit: Literal["file", "series"]
    modalities: SomeTexts
    sop_classes: Annotated[dict[UID, str], Field(min_length=1), _says("a mapping of UIDs to names")]
    leave_out: Annotated[tuple[Kind, ...], LIST] = ()
    key_frame: Text | None = None
    review: Review = Review()
    trained_on: Annotated[str, StringConstraints(strip_whitespace=True)] = ""


class SurfaceTolerance(_Section):
    """The tolerance of surface Dice: in mm, and in pixels without calibration."""

    mm: Amount
    px: Amount


class DeclaredEvaluation(_Section):
    """The comparison of label maps."""

    surface_tolerance: SurfaceTolerance


class BundleMetadata(BaseModel):
    """The sections of ``metadata.json`` that pyraseg reads; None or empty where the bundle declares none.

    >>> declared = BundleMetadata.from_mapping({"segments": [{"name": "kidney", "colour": [255, 0, 0]}]})
    >>> declared.segments[0].colour
    (255, 0, 0)
    >>> BundleMetadata.from_mapping({"segments": [{"name": "kidney", "color": [255, 0, 0]}]})
    Traceback (most recent call last):
    pyraseg.transforms.errors.ConfigError: wanted segments.0: the keys name, value, colour, category, type, \
found "color". Did you mean "colour"? Correct it in configs/metadata.json.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    segments: Annotated[tuple[DeclaredSegment, ...], LIST] = ()
    quantities: Annotated[tuple[DeclaredQuantity, ...], LIST] = ()
    prediction: DeclaredPrediction | None = None
    evaluation: DeclaredEvaluation | None = None
    reading: Annotated[ReadingOptions, PlainValidator(_reading)] = ReadingOptions()
    operating_point: dict[str, dict[Rate, Amount]] = {}

    @classmethod
    def from_mapping(cls, declared: Mapping[str, Any]) -> BundleMetadata:
        """Check a metadata.json as parsed from JSON, or some of its sections.

        Raises:
            ConfigError: an unknown key in a section, a misspelt section, a value of another type or range, a
                name declared twice, or a segment that is not declared; with the key's path.
        """
        for key in declared.keys() & set(MOVED):
            remedy = f"Take it out of {FILE}: network, transforms and clean-up stand in the bundle's configs."
            raise ConfigError("no such section", found=f'"{key}"', remedy=remedy)
        for key in declared.keys() - cls.model_fields.keys():
            if near := get_close_matches(key, cls.model_fields, n=1, cutoff=0.85):
                raise ConfigError(near[0], found=f'"{key}"', remedy=f"Correct it in {FILE}.")
        try:
            return cls.model_validate(dict(declared))
        except ValidationError as error:
            raise _as_config_error(error.errors()[0]) from error

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        """Names must differ, and sections may name declared segments only: others would raise no flag."""
        if self.prediction is not None:
            takes = "single files" if (frames := self.prediction.unit == "file") else "series"
            if other := [name for name in self.reading.given if (name in OF_FRAMES) != frames]:
                _refuse(f"reading: options for {takes}, which this bundle takes", found=other[0])
        segments = [segment.name for segment in self.segments]
        for section, names in (("segments", segments), ("quantities", [q.name for q in self.quantities])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                _refuse(f"{section}: names that differ", found=f'"{twice[0]}" twice')
        for path, name in self._named_segments() if segments else ():
            if name not in segments:
                _refuse(f"{path}: a segment among {', '.join(segments)}", found=f'"{name}"', known=segments)
        return self

    def _named_segments(self) -> Iterable[tuple[str, str]]:
        """The segments that other sections name, with the key's path of each."""
        yield from (("operating_point", name) for name in self.operating_point)
        for index, quantity in enumerate(self.quantities):
            yield from ((f"quantities.{index}.segments", name) for name in quantity.segments)
        if self.prediction is not None:
            if self.prediction.key_frame is not None:
                yield "prediction.key_frame", self.prediction.key_frame
            review = self.prediction.review
            for key in ("expected", "area_mm2", "volume_ml"):
                yield from ((f"prediction.review.{key}", name) for name in getattr(review, key))


def _as_config_error(error: ErrorDetails) -> ConfigError:
    """One of pydantic's errors as a ``ConfigError``: wanted, found, and the nearest name."""
    context, value = error.get("ctx", {}), error["input"]
    wanted, found, known = error["msg"], context.get("found") or repr(value), context.get("known", ())
    if error["type"] == "missing":
        wanted, found = "a value", "none"
    elif error["type"] == "literal_error":
        wanted, known = f"one of {context['expected']}", re.findall("'([^']+)'", context["expected"])
    elif error["type"] != "refused":
        wanted = wanted.removeprefix("Input should be ").replace("tuple", "list")
        wanted = wanted.replace("dictionary", "mapping")
    where = ".".join(map(str, error["loc"]))
    near = [f'Did you mean "{name}"? ' for name in get_close_matches(found.strip("\"'"), known, n=1)]
    remedy = f"{''.join(near)}Correct it in {FILE}."
    return ConfigError(f"{where}: {wanted}" if where else wanted, found=found, remedy=remedy)
