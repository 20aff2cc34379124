"""The injected activity, its clock, and the units of a PET series: the ways in which scanners state them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

__all__ = ["HALF_LIFE_S", "MIDNIGHT", "PROTOCOLS", "PetProtocol", "Tracer", "draw_tracer"]

HALF_LIFE_S = 6586.2  # fluorine-18
MBQ = 1e6
MIDNIGHT = "002000"  # a scan that starts then had its injection on the day before


@dataclass(frozen=True)
class PetProtocol:
    """How a scanner states what SUV needs.

    Attributes:
        units: (0054,1001): BQML, GML or CNTS.
        decay: (0054,1102): START or ADMIN.
        dated: the injection has a date (0018,1078) beside the time of day (0018,1072).
        delay_min: how long after the first acquisition the series says that it began, as a series that is
            reconstructed anew does; the true start then follows from Frame Reference Time.
        private: a manufacturer's private element that holds the start, or the SUV factor: "GE", "Philips" or
            "".
        midnight: the day changes between injection and scan.
    """

    units: str = "BQML"
    decay: str = "START"
    dated: bool = True
    delay_min: int = 0
    private: str = ""
    midnight: bool = False


PROTOCOLS = (
    PetProtocol(),
    PetProtocol(dated=False),
    PetProtocol(delay_min=47),
    PetProtocol(dated=False, midnight=True),
    PetProtocol(decay="ADMIN"),
    PetProtocol(delay_min=35, private="GE"),
    PetProtocol(units="GML"),
    PetProtocol(units="CNTS", private="Philips"),
)


@dataclass(frozen=True)
class Tracer:
    """One injection of FDG.

    Attributes:
        dose_bq: at the time of injection.
        start: of the first acquisition, to which START corrects.
        factor: SUV of a count per second and millilitre, for CNTS.
    """

    protocol: PetProtocol
    weight_kg: float
    dose_bq: float
    injected: datetime
    start: datetime
    factor: float

    @property
    def scale(self) -> float:
        """The value in the series' units of SUV 1 (methods: SUVbw = value * weight in g / activity)."""
        if self.protocol.units == "GML":
            return 1.0
        if self.protocol.units == "CNTS":
            return 1 / self.factor
        decayed = self.dose_bq * self.decay(self.start) if self.protocol.decay == "START" else self.dose_bq
        return decayed / (self.weight_kg * 1000)

    def decay(self, moment: datetime) -> float:
        """What is left of the dose at the moment, from 1 downwards."""
        return float(2 ** (-(moment - self.injected).total_seconds() / HALF_LIFE_S))


def draw_tracer(
    rng: np.random.Generator, protocol: PetProtocol, *, date: str, time: str, weight_kg: float
) -> Tracer:
    """Draw dose and uptake time for a study that begins at ``date`` and ``time``."""
    start = datetime.strptime(date + time, "%Y%m%d%H%M%S") + timedelta(minutes=5)
    uptake = timedelta(seconds=int(rng.integers(52 * 60, 75 * 60)))
    return Tracer(
        protocol=protocol,
        weight_kg=weight_kg,
        dose_bq=round(float(rng.uniform(3.2, 5.2)) * weight_kg * MBQ, -3),
        injected=start - uptake,
        start=start,
        factor=float(f"{rng.uniform(2e-4, 9e-4):.6g}"),
    )
