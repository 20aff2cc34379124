"""The split is told by the names that the tables have."""

from pyraseg.pipeline.datalist import Datalist
from pyraseg.pipeline.tracking import split_record
from pyraseg.transforms.privacy import case_name


def item(case, group):
    return {"image": "/data/DOE.png", "label": "/data/DOE_mask.png", "case": case, "group": group}


def test_cases_stand_by_group_in_their_split():
    hashed = case_name("a"), case_name("b"), case_name("group")
    training = (item(hashed[0], hashed[2]), item(hashed[1], hashed[2]))
    record = split_record(Datalist(training, (), (), ("background", "fluid"), {0: 0, 1: 1}, "digest", seed=3))
    assert record == {
        "digest": "digest",
        "seed": 3,
        "training": {hashed[2]: [hashed[0], hashed[1]]},
        "validation": {},
        "test": {},
    }
