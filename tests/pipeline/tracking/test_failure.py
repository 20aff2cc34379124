"""How a run ended is told without a path, a value or a message that is not ours."""

import pytest

from pyraseg.pipeline.tracking.failure import describe_error, error_name, final_status
from pyraseg.pipeline.utils.without_paths import safe_parameters
from pyraseg.transforms.errors import InputError


def caught(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def wrapped():
    try:
        raise InputError("an image", found="a gap", remedy="Mend it.", path="/data/DOE.dcm")
    except InputError as error:
        raise RuntimeError("applying transform to /data/DOE.dcm") from error


def test_our_files_stand_with_their_place_in_the_project_and_others_by_their_name():
    text = describe_error(caught(safe_parameters, None))
    assert "pipeline/utils/without_paths.py:" in text
    assert "test_failure.py:" in text
    assert "/tests" not in text
    assert text.rstrip().endswith("AttributeError")


def test_the_chain_is_told_in_order_with_our_sentence_and_no_other():
    error = caught(wrapped)
    text = describe_error(error)
    assert text.index("InputError\n") < text.index("which led to") < text.index("RuntimeError")
    assert "InputError: wanted an image, found a gap. Mend it." in text
    assert "DOE" not in text
    assert error_name(error) == "InputError"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (ValueError(), "FAILED"),
        (SystemExit(1), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(130), "KILLED"),
    ],
    ids=repr,
)
def test_only_who_was_asked_to_stop_was_killed(error, status):
    assert final_status(error) == status
