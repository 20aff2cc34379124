"""The folders and arrows of DESIGN.md, and the rules of style that no linter knows, read with ``ast``."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path.relative_to(ROOT) for name in ("pipeline", "transforms") for path in (ROOT / name).rglob("*.py")
)
LONGEST = 400  # lines
LARGEST = 16  # modules of a folder
LOOSE = 4  # modules beside the folders of pipeline/ and transforms/
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
LAYERS = (  # left may import right, never back
    ("cli", "__main__"),
    ("commands",),
    ("pacs", "delivery"),
    ("prediction", "comparison", "experiments", "datalist", "phantom"),
    ("evaluation", "inference", "training", "tracking", "writers", "measurement", "trust"),
    ("networks", "losses", "bundle", "utils"),
)


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
    return ".".join(("pyraseg", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def part(folder: str) -> list[Path]:
    """The modules in a folder, which must be there for a rule on them to mean anything."""
    modules = [m for m in MODULES if Path(folder) in m.parents]
    assert modules, folder
    return modules


def layer(name: str) -> int:
    """The layer of a module of ours by its dotted name; the deepest is transforms."""
    inner = name.split(".")[2] if name.startswith("pyraseg.pipeline.") else ""
    return next((number for number, names in enumerate(LAYERS) if inner in names), len(LAYERS))


def graph() -> dict[str, set[str]]:
    """From each module of ours to those that it imports."""
    names = {dotted(module) for module in MODULES}

    def module_of(name: str) -> str:
        while name not in names and "." in name:
            name = name.rpartition(".")[0]
        return name

    return {
        dotted(module): {module_of(name) for _, name in imports(module)} & names - {dotted(module)}
        for module in MODULES
    }


def test_the_source_is_found():
    assert Path("pipeline/training/loop.py") in MODULES
    assert Path("transforms/io/frames.py") in MODULES


def test_no_import_is_relative():
    relative = [
        f"{m}:{n.lineno}"
        for m in MODULES
        for n in ast.walk(tree(m))
        if isinstance(n, ast.ImportFrom) and n.level
    ]
    assert relative == []


def test_no_folder_is_too_large_to_look_through():
    sizes = Counter(str(module.parent) for module in MODULES if module.name != "__init__.py")
    assert {folder: size for folder, size in sizes.items() if size > LARGEST} == {}
    assert {folder: sizes[folder] for folder in ("pipeline", "transforms") if sizes[folder] > LOOSE} == {}


def test_every_part_of_the_pipeline_has_its_layer():
    parts = {m.parts[1] if len(m.parts) > 2 else m.stem for m in MODULES if m.parts[0] == "pipeline"}
    assert parts - {"__init__"} == {name for names in LAYERS for name in names}


def test_no_arrow_points_back():
    back = [
        f"{one} -> {other}"
        for one, others in graph().items()
        for other in others
        if layer(other) < layer(one)
    ]
    assert back == []


def test_there_is_no_circle():
    """By taking away, again and again, what imports nothing that is left."""
    left = graph()
    while leaves := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in leaves}
    assert left == {}


def test_transforms_never_imports_pipeline():
    assert importers("pyraseg.pipeline", among=part("transforms")) == []


@pytest.mark.parametrize("own", ["networks", "losses"])
def test_networks_and_losses_import_torch_monai_the_errors_and_themselves(own):
    allowed = (*PURE, "pyraseg.transforms.errors", f"pyraseg.pipeline.{own}")
    among = part(f"pipeline/{own}")
    assert [
        f"{m}:{line} {name}" for m in among for line, name in imports(m) if not below(name, *allowed)
    ] == []


def test_only_tracking_and_comparison_import_mlflow():
    folders = {Path(line.split(":")[0]).parts[1] for line in importers("mlflow")}
    assert folders == {"tracking", "comparison"}


def calls(module: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
        elif isinstance(node, ast.Raise) and node.exc is not None:
            yield node.lineno, ast.unparse(node.exc).partition("(")[0]


def test_only_the_command_line_prints_and_exits():
    """And the error report, which is all that a MONAI run says of an error of ours."""
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
    allowed = {Path("pipeline/cli.py"), Path("pipeline/__main__.py"), Path("pipeline/utils/errors.py")}
    others = [m for m in MODULES if m not in allowed]
    assert [f"{m}:{line} {name}" for m in others for line, name in calls(m) if name in forbidden] == []


def test_no_input_is_checked_with_assert():
    assert [f"{m}:{n.lineno}" for m in MODULES for n in ast.walk(tree(m)) if isinstance(n, ast.Assert)] == []


def test_no_except_is_bare_and_a_broad_one_says_why():
    broad = {"Exception", "BaseException"}
    silent = []
    for module in MODULES:
        lines = (ROOT / module).read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ExceptHandler):
                names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else broad
                if node.type is None or (names & broad and "#" not in lines[node.lineno - 1]):
                    silent.append(f"{module}:{node.lineno}")
    assert silent == []


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
    assert {str(name).split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"pyraseg"}


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
        "try:\n    runpy.run_module('pyraseg.pipeline', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print('loaded:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


# Telemetry is switched off before the libraries that have it are imported.
SILENCING = {"pipeline/__init__.py", "pipeline/tracking/__init__.py"}


def test_no_module_does_anything_on_import():
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    acting = []
    for module in MODULES:
        for node in tree(module).body[1:]:
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            free = module.name == "__main__.py" or module.as_posix() in SILENCING
            if not free and not typing_only and not isinstance(node, allowed):
                acting.append(f"{module}:{node.lineno} {ast.unparse(node)[:60]}")
    assert acting == []
