"""An error of ours is found behind the wrappings of MONAI and of data-loading processes."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from pyraseg.pipeline.utils.errors import install_error_report, own_error
from pyraseg.transforms.errors import InputError, LabelError


def test_our_error_is_found_behind_the_wrappings_of_others():
    ours = InputError("a file", found="none", remedy="Check.")
    wrapped = RuntimeError("applying transform")
    wrapped.__cause__ = RuntimeError("in a worker")
    wrapped.__cause__.__cause__ = ours
    assert own_error(wrapped) is ours
    assert own_error(RuntimeError("alone")) is None


def test_our_error_is_found_in_what_a_data_loading_process_sends():
    ours = LabelError("mask values 0, 1", found="7, in case c1", remedy="Declare 0.5 or 7.")
    text = "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback:\n  File ..."
    text += f"\npyraseg.transforms.errors.LabelError: {ours}\n\nmore"
    found = own_error(RuntimeError(text))
    assert type(found) is LabelError
    assert str(found) == str(ours)
    assert (found.wanted, found.found, found.remedy) == (ours.wanted, ours.found, ours.remedy)


def test_only_monai_s_own_command_gets_another_report_of_errors(monkeypatch):
    before = sys.excepthook
    monkeypatch.setattr(sys, "excepthook", before)  # given back whatever happens
    install_error_report()
    assert sys.excepthook is before
    command = ModuleType("__main__")
    command.__spec__ = SimpleNamespace(name="monai.bundle.__main__")
    monkeypatch.setitem(sys.modules, "__main__", command)
    install_error_report()
    assert sys.excepthook is not before


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left", "shm-size"),
        ("unable to write to file </torch_1_2_0>: No space left on device (28)", "shm-size"),
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that ...", "shm-size"),
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "fewer --num_workers"),
    ],
)
def test_a_loading_process_that_ended_for_want_of_memory_is_a_sentence_with_a_remedy(text, remedy):
    wrapped = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    wrapped.__cause__ = RuntimeError(text)
    assert remedy in own_error(wrapped).remedy
    assert own_error(RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")) is None
