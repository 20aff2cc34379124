"""The command line answers at once, says in a sentence what went wrong, and tells so by its exit status."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from pyraseg.pipeline import cli
from pyraseg.pipeline.commands import datalist
from pyraseg.pipeline.commands.verb import Verb
from pyraseg.pipeline.datalist.groups import GROUP_FROM
from pyraseg.pipeline.datalist.sources.series import LABEL_KINDS, MODALITIES
from pyraseg.pipeline.utils import errors
from pyraseg.transforms.errors import InputError, PyrasegError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in (errors.TRACEBACK_VARIABLE, errors.PATHS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


class Speaking(Verb):
    """A verb that says its lines and then meets an error, if it is given one."""

    name = "speak"
    help = "say lines"

    def __init__(self, *lines: str, error: BaseException | None = None) -> None:
        self.lines, self.error = lines, error

    def add_arguments(self, parser) -> None:
        parser.add_argument("--loud", action="store_true")

    def run(self, arguments):
        yield from self.lines
        if self.error:
            raise self.error


@pytest.fixture
def speak(monkeypatch):
    """Run a verb of ours and give the exit status."""

    def run(*lines: str, error: BaseException | None = None, arguments=("speak",)) -> int:
        monkeypatch.setattr(cli, "VERBS", (Speaking(*lines, error=error),))
        return cli.main(list(arguments))

    return run


def missing(path: str = "/data/frame.dcm") -> PyrasegError:
    return InputError("a DICOM file", found="no such file", remedy="Check the path.", path=path)


def pipeline(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pyraseg.pipeline", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


class TestHelp:
    @pytest.mark.parametrize("verb", [verb.name for verb in cli.VERBS])
    def test_every_verb_explains_itself(self, verb, capsys):
        with pytest.raises(SystemExit) as left:
            cli.main([verb, "--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert f"pyraseg {verb}" in text
        assert len(text.splitlines()) > 5

    def test_the_choices_of_datalist_are_those_of_the_package(self):
        """They are written out in the verb, so that help need not load the package."""
        written = (datalist.GROUP_FROM, datalist.MODALITIES, datalist.LABEL_KINDS)
        assert written == (GROUP_FROM, tuple(MODALITIES), LABEL_KINDS)

    def test_the_overview_names_every_verb_and_where_training_is(self, capsys):
        with pytest.raises(SystemExit) as left:
            cli.main(["--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert all(verb.help in " ".join(text.split()) for verb in cli.VERBS)
        assert "monai.bundle run training" in " ".join(text.split())

    @pytest.mark.parametrize(
        "arguments", [[], ["evaluate"], ["phantom"], ["phantom", "--output", "x", "--cases", "many"]], ids=str
    )
    def test_wrong_usage_is_status_two(self, arguments, capsys):
        with pytest.raises(SystemExit) as left:
            cli.main(arguments)
        assert left.value.code == 2
        assert "usage: pyraseg" in capsys.readouterr().err


class TestExitStatus:
    def test_a_verb_that_ends_well_prints_its_lines_and_is_status_zero(self, speak, capsys):
        assert speak("one", "two") == 0
        assert capsys.readouterr() == ("one\ntwo\n", "")

    def test_an_error_of_ours_is_one_sentence_and_the_path_on_the_error_stream(self, speak, capsys):
        assert speak("before", error=missing()) == 1
        printed = capsys.readouterr()
        assert printed.out == "before\n"
        sentence, path = printed.err.splitlines()
        assert sentence == "InputError: wanted a DICOM file, found no such file. Check the path."
        assert path == "  file: /data/frame.dcm"

    def test_an_error_without_a_path_is_the_sentence_alone(self, speak, capsys):
        assert speak(error=InputError("a frame", found="none", remedy="Check.")) == 1
        assert capsys.readouterr().err == "InputError: wanted a frame, found none. Check.\n"

    def test_a_traceback_comes_on_request(self, speak, monkeypatch, capsys):
        monkeypatch.setenv("PYRASEG_TRACEBACK", "1")
        error = missing()
        with pytest.raises(InputError) as raised:
            speak(error=error)
        assert raised.value is error
        assert capsys.readouterr().err == ""

    def test_another_error_is_not_swallowed(self, speak):
        with pytest.raises(ZeroDivisionError):
            speak(error=ZeroDivisionError())

    def test_an_interrupt_is_the_shell_s_status(self, speak, capsys):
        assert speak(error=KeyboardInterrupt()) == 130
        assert capsys.readouterr().err == "interrupted\n"


class TestReportError:
    def test_in_a_training_s_log_the_path_is_shown_on_request_only(self, monkeypatch, capsys):
        assert errors.report_error(missing()) is True
        hidden = capsys.readouterr().err
        assert "/data" not in hidden
        assert "PYRASEG_SHOW_PATHS=1" in hidden
        monkeypatch.setenv("PYRASEG_SHOW_PATHS", "1")
        errors.report_error(missing())
        assert "/data/frame.dcm" in capsys.readouterr().err

    def test_control_characters_reach_no_terminal(self, speak, capsys):
        escape = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\udce9"
        assert speak(f"wrote {escape}", error=missing(f"/data/{escape}.dcm")) == 1
        error = InputError("a class", found=f'"{escape}"', remedy="Rename it.")
        errors.report_error(error)
        printed = capsys.readouterr()
        assert [len(text.split("\n")) - 1 for text in printed] == [1, 3]
        assert all(line.isprintable() for text in printed for line in text.split("\n"))

    def test_letters_of_any_language_stay(self):
        assert errors.printable("Nieren-Größe 腎臓.dcm") == "Nieren-Größe 腎臓.dcm"


class TestEntryPoints:
    def test_the_command_pyraseg_is_the_same_function_as_python_m_pipeline(self, monkeypatch):
        module, _, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
            "pyraseg"
        ].partition(":")
        assert getattr(import_module(module), name) is cli.main
        called = []
        monkeypatch.setattr(cli, "main", lambda: called.append("main") or 7)
        with pytest.raises(SystemExit) as left:
            runpy.run_module("pipeline", run_name="__main__")
        assert (called, left.value.code) == (["main"], 7)

    def test_a_real_failure_in_a_process_of_its_own(self, tmp_path):
        (tmp_path / "mine").touch()
        arguments = ("phantom", "--cases", "5", "--output", str(tmp_path))
        done = pipeline(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        sentence, path = done.stderr.splitlines()
        assert sentence.startswith("OutputError: wanted an empty or a new output folder")
        assert path == f"  file: {tmp_path}"

    def test_a_real_failure_with_a_traceback(self, tmp_path):
        done = pipeline(
            "datalist",
            "--table",
            str(tmp_path / "none.csv"),
            "--output",
            str(tmp_path / "list.json"),
            PYRASEG_TRACEBACK="1",
        )
        assert done.returncode == 1
        assert "Traceback (most recent call last)" in done.stderr
        assert "pyraseg.transforms.errors." in done.stderr

    def test_work_goes_on_without_a_reader(self):
        code = (
            "import sys\nfrom pyraseg.pipeline import cli\n"
            "class Saying(cli.Verb):\n"
            "    name, help = 'v', 'h'\n"
            "    def add_arguments(self, parser): pass\n"
            "    def run(self, arguments): yield 'line'; yield 'line'; sys.stderr.write('worked')\n"
            "cli.VERBS = (Saying(),)\nsys.stdin.read()\nsys.exit(cli.main(['v']))\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdout.close()  # before the verb speaks
        process.stdin.close()
        errors = process.stderr.read()
        assert (process.wait(), errors) == (0, "worked")

    def test_work_goes_on_with_closed_streams_and_prints_into_no_other_file(self, tmp_path):
        code = (
            "import os, subprocess, sys\n"
            "os.closerange(0, 3); sys.stdin = sys.stdout = sys.stderr = None\n"
            "from pyraseg.pipeline import cli\n"
            "class Saying(cli.Verb):\n"
            "    name, help = 'v', 'h'\n"
            "    def add_arguments(self, parser): pass\n"
            "    def run(self, arguments):\n"
            f"        with open({str(tmp_path / 'result')!r}, 'w') as file:\n"
            "            yield 'line'\n"
            "            look = [sys.executable, '-c', 'import os; [os.fstat(n) for n in range(3)]']\n"
            "            file.write(f'{file.fileno() > 2}, its process ends with {subprocess.call(look)}')\n"
            "cli.VERBS = (Saying(),)\nsys.exit(cli.main(['v']))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
        assert (done.returncode, (tmp_path / "result").read_text()) == (0, "True, its process ends with 0")
