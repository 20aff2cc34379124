"""The arrows of DESIGN.md and the rules of the code's style that no linter knows, read from the source with
``ast``."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path.relative_to(ROOT) for name in ("pipeline", "transforms") for path in (ROOT / name).rglob("*.py")
)
LONGEST = 400  # lines
HEAVY = (
    "torch",
    "monai",
    "mlflow",
    "pydicom",
    "numpy",
    "ignite",
    "highdicom",
    "SimpleITK",
    "skimage",
    "scipy",
)
PURE = ("torch", "monai", "numpy", *sys.stdlib_module_names)


@lru_cache
def tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imports(module: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of whatever a module imports, at its top or inside a function."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def below(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def importers(*packages: str, among: list[Path] = MODULES) -> list[str]:
    """``file:line`` of each import of one of the packages."""
    return [f"{m}:{line} {name}" for m in among for line, name in imports(m) if below(name, *packages)]


def dotted(module: Path) -> str:
    parts = module.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(*places: str) -> list[Path]:
    """The modules in these folders or files, which must be there for a rule on them to mean anything."""
    found = [m for m in MODULES if any(m == Path(place) or Path(place) in m.parents for place in places)]
    assert found, places
    return found


def test_the_source_is_found():
    assert Path("pipeline/training/loop.py") in MODULES
    assert Path("transforms/dicom/reader.py") in MODULES


def test_no_import_is_relative():
    relative = [
        f"{m}:{n.lineno}"
        for m in MODULES
        for n in ast.walk(tree(m))
        if isinstance(n, ast.ImportFrom) and n.level
    ]
    assert relative == []


def test_transforms_never_imports_pipeline():
    assert importers("pipeline", among=part("transforms")) == []


def test_networks_and_losses_import_torch_monai_the_errors_and_themselves():
    for place in ("pipeline/networks", "pipeline/losses"):
        own = place.replace("/", ".")
        others = [
            f"{m}:{line} {name}"
            for m in part(place)
            for line, name in imports(m)
            if not below(name, *PURE, "pyraseg.transforms.errors", own)
        ]
        assert others == []


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("pipeline/datalist", ("pyraseg.pipeline.datalist", "pyraseg.pipeline.utils.files")),
        (
            "pipeline/phantom",
            (
                "pyraseg.pipeline.phantom",
                "pyraseg.pipeline.datalist",
                "pyraseg.pipeline.writers",
                "pyraseg.pipeline.utils.files",
            ),
        ),
        ("pipeline/writers", ("pyraseg.pipeline.writers", "pyraseg.pipeline.utils.files")),
        ("pipeline/bundle/segments.py", ()),
        ("pipeline/inference/postprocessing.py", ()),
        ("pipeline/utils/files.py", ()),
        (
            "pipeline/bundle/overrides.py",
            ("pyraseg.pipeline.cli.report_error", "pyraseg.pipeline.bundle.shared_config.shared_files"),
        ),
    ],
)
def test_an_inner_part_of_the_pipeline_knows_no_outer_one(place, allowed):
    outer = [
        name for name in importers("pipeline", among=part(place)) if not below(name.split()[1], *allowed)
    ]
    assert outer == []


def test_nothing_imports_the_command_line_but_its_entry_and_the_error_report():
    found = {line.split(":")[0] for line in importers("pyraseg.pipeline.cli")}
    assert found == {"pipeline/__main__.py", "pipeline/bundle/overrides.py"}


def test_only_tracking_and_comparison_import_mlflow():
    found = {Path(line.split(":")[0]).parent for line in importers("mlflow")}
    assert found == {Path("pipeline/tracking"), Path("pipeline/comparison")}


def test_nothing_but_the_command_line_knows_the_comparison():
    outside = [m for m in MODULES if m not in part("pipeline/comparison")]
    assert {line.split(":")[0] for line in importers("pyraseg.pipeline.comparison", among=outside)} == {
        "pipeline/cli.py"
    }


def calls(module: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
        elif isinstance(node, ast.Raise) and node.exc is not None:
            yield node.lineno, ast.unparse(node.exc).partition("(")[0]


def test_only_the_command_line_prints_and_exits():
    forbidden = {
        "print",
        "exit",
        "quit",
        "sys.exit",
        "os._exit",
        "SystemExit",
        "sys.stdout.write",
        "sys.stderr.write",
    }
    allowed = {Path("pipeline/cli.py"), Path("pipeline/__main__.py")}
    found = [
        f"{m}:{line} {name}"
        for m in MODULES
        if m not in allowed
        for line, name in calls(m)
        if name in forbidden
    ]
    assert found == []


def test_no_input_is_checked_with_assert():
    assert [f"{m}:{n.lineno}" for m in MODULES for n in ast.walk(tree(m)) if isinstance(n, ast.Assert)] == []


def test_no_except_is_bare_or_broad():
    broad = {"Exception", "BaseException"}
    found = [
        f"{m}:{node.lineno}"
        for m in MODULES
        for node in ast.walk(tree(m))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or broad & {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)})
    ]
    assert found == []


def test_every_module_says_what_it_is():
    assert [str(m) for m in MODULES if not ast.get_docstring(tree(m))] == []


def test_every_module_lists_its_public_names_and_has_them():
    missing = []
    for module in MODULES:
        if module.name == "__main__.py":
            continue
        loaded = importlib.import_module(dotted(module))
        names = getattr(loaded, "__all__", None)
        if names is None and module.name != "__init__.py":
            missing.append(f"{module}: no __all__")
        missing += [f"{module}: {name}" for name in names or () if not hasattr(loaded, name)]
    assert missing == []


def test_no_module_is_longer_than_a_reader_can_hold():
    lengths = {str(m): len((ROOT / m).read_text(encoding="utf-8").splitlines()) for m in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_the_command_line_imports_nothing_heavy_at_its_top():
    top = [n for n in tree(Path("pipeline/cli.py")).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = [n.module if isinstance(n, ast.ImportFrom) else alias.name for n in top for alias in n.names]
    assert {str(name).split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"transforms"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([verb, "--help"] for verb in ("datalist", "crossval", "ablation", "compare", "phantom")),
        [],
    ],
    ids=str,
)
def test_help_answers_without_loading_a_heavy_library(arguments):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['pipeline', *{arguments!r}]\n"
        "try:\n    runpy.run_module('pipeline', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print('loaded:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_no_module_does_anything_on_import():
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    acting = []
    for module in MODULES:
        for node in tree(module).body[1:]:
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if module.name != "__main__.py" and not typing_only and not isinstance(node, allowed):
                acting.append(f"{module}:{node.lineno} {ast.unparse(node)[:60]}")
    assert acting == []
