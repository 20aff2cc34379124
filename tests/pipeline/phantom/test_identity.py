"""What every invented object says of its patient."""

from __future__ import annotations

from pyraseg.pipeline.phantom.identity import make_uid


def test_uids_are_valid_and_depend_on_their_parts_alone():
    uid = make_uid("a", 1)
    assert uid.is_valid
    assert uid.startswith("2.25.")
    assert uid == make_uid("a", 1) != make_uid("a", 2)
