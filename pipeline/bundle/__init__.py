"""The parts of a bundle: its overrides, its metadata, its segments, and copies outside the package."""

from __future__ import annotations

from pyraseg.pipeline.bundle.copy import copy_bundle
from pyraseg.pipeline.bundle.overrides import OverrideGuard
from pyraseg.pipeline.bundle.preprocessing import describe_preprocessing
from pyraseg.pipeline.bundle.segments import resolve_segments
