"""What becomes of a file that is sent to a peer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Outcome", "failure_outcome"]

State = Literal["stored", "refused", "again"]
# PS3.4 Annex B.2.3, PS3.7 Annex C, PS3.18 Annex I
REASONS = {
    0x0110: "the archive failed while it processed the object",
    0x0117: "the archive calls it an invalid instance",
    0x0122: "the archive does not take this SOP class",
    0x0124: "the archive does not let us store",
    0xA700: "the archive has no room",
    0xA900: "the archive finds that data set and SOP class disagree",
    0xC000: "the archive cannot understand it",
}
DUPLICATE = 0x0111
PASSING = {0x0110, 0xA700}


@dataclass(frozen=True)
class Outcome:
    """Stored, refused for good, or to be sent again later; and why."""

    path: Path
    state: State
    reason: str = ""


def failure_outcome(path: Path, status: int) -> Outcome:
    """The outcome by the status of a C-STORE or the failure reason of a STOW-RS.

    A warning (Bxxx) says that the object is stored and changed, a duplicate that it was stored before.

    >>> failure_outcome(Path("seg.dcm"), 0xA700).state, failure_outcome(Path("seg.dcm"), 0x0111).state
    ('again', 'stored')
    """
    if status in (0, DUPLICATE) or status & 0xF000 == 0xB000:
        return Outcome(path, "stored")
    family = status & 0xFF00 if status & 0xF000 == 0xA000 else status & 0xF000
    known = status if status in REASONS else family
    reason = f"{REASONS.get(known, 'the archive refuses it')} (status {status:04X})"
    return Outcome(path, "again" if known in PASSING else "refused", reason)
