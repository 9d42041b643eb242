"""The house: which floor may import which, and what is imported in one place only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("circuit", "analysis", "training", "studies", "models")  # imports go down, never up
FILES = {floor: sorted((ROOT / floor).rglob("*.py")) for floor in FLOORS}
ALL = [path for floor in FLOORS for path in FILES[floor]]


@cache
def parsed(path: Path) -> ast.Module:
    """A file as a tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    """A path as it is written in a message."""
    return path.relative_to(ROOT).as_posix()


@cache
def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """The first names of all packages that a file imports, anywhere or outside functions only."""
    tree = parsed(path)
    inside = {
        child
        for node in (ast.walk(tree) if top_level else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = (node.module or "").split(".")[0]
            found.add(path.relative_to(ROOT).parts[0] if node.level else package)
    return found


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_imports_one_above(floor: str) -> None:
    """models -> studies -> training -> analysis -> circuit; and none the tests or benchmarks."""
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    assert FILES[floor]
    for path in FILES[floor]:
        assert not imports(path) & (above | {"tests", "benchmarks"}), relative(path)


@pytest.mark.parametrize("package", ["matplotlib", "brian2", "dask"])
def test_heavy_packages_are_imported_by_one_file(package: str) -> None:
    """One place to replace."""
    users = [relative(path) for path in ALL if package in imports(path)]
    assert len(users) <= 1, users
    if package == "brian2":
        assert users == ["circuit/brian/library.py"]


def test_brian2_does_not_leave_its_package_by_the_back_door() -> None:
    """What the one file imports, runs of circuits take from there, the method of that name takes
    from these, and nobody else does."""
    users = {
        path.parent
        for path in ALL
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom)
        and (
            (node.module or "").startswith("circuit.brian.")
            or (
                node.module != "circuit.methods"  # whose method of that name is no such import
                and any(alias.name == "brian2" for alias in node.names)
            )
        )
    }
    assert users == {ROOT / "circuit" / wing for wing in ("brian", "plastic", "methods")}


# --- from file to file ---


def modules(root: Path) -> dict[str, Path]:
    """All files of the floors by the name under which they are imported; a face by its folder's."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for floor in FLOORS
        for path in sorted((root / floor).rglob("*.py"))
    }


def imported(name: str, known: dict[str, Path]) -> set[str]:
    """What a file imports of those that are known: at its top, in functions, for type checking."""
    package = name if known[name].stem == "__init__" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            place = ".".join([*above, *filter(None, [node.module])])
            files = {f"{place}.{alias.name}" for alias in node.names}
            found |= {file if file in known else place for file in files}
    return found & set(known) - {name}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Those that can be reached from themselves, each with all that are in the same circle."""
    reached = {name: set(others) for name, others in arrows.items()}
    for middle, beyond in reached.items():  # Warshall
        for others in reached.values():
            if middle in others:
                others |= beyond
    rings = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in reached
        if name in reached[name]
    }
    return sorted(map(list, rings))


def to_faces(known: dict[str, Path]) -> list[str]:
    """What in the library imports a face: that of a wing, or the library's own."""
    faces = {name for name, path in known.items() if path.stem == "__init__"}
    return [
        f"{name} imports {face}"
        for name in known
        if name.split(".")[0] == "circuit"
        for face in sorted(imported(name, known) & faces)
    ]


def test_no_imports_go_in_a_circle() -> None:
    """Nowhere, also inside a floor."""
    known = modules(ROOT)
    arrows = {name: imported(name, known) for name in known}
    assert sum(map(len, arrows.values())) > 500
    assert circles(arrows) == []


def test_inside_the_library_files_import_files() -> None:
    """A face is for those outside: one that is used inside makes circles, and loads its wing."""
    assert to_faces(modules(ROOT)) == []


def test_circles_and_faces_would_be_seen(tmp_path: Path) -> None:
    """A house of five files: a circle of three through a function and a block for type checking, a
    relative import, a face; and a file that is only imported."""
    for name, text in {
        "circuit/__init__.py": "",
        "circuit/wing/__init__.py": "",
        "circuit/wing/one.py": "from circuit.wing import two\nfrom circuit.leaf import x\n",
        "circuit/wing/two.py": "def f():\n    from ..three import g\n",
        "circuit/three.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import circuit.wing.one\n"
        ),
        "circuit/leaf.py": "import numpy\n",
        "circuit/outer.py": "from circuit.wing import Class\nfrom circuit import function\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    known = modules(tmp_path)
    arrows = {name: imported(name, known) for name in known}
    assert circles(arrows) == [["circuit.three", "circuit.wing.one", "circuit.wing.two"]]
    assert to_faces(known) == [
        "circuit.outer imports circuit",
        "circuit.outer imports circuit.wing",
    ]
    arrows["circuit.three"].clear()
    assert circles(arrows) == []


def test_the_circuit_imports_pytorch_only_where_it_is_given_tensors() -> None:
    """No import outside a function."""
    for path in FILES["circuit"]:
        assert "torch" not in imports(path, top_level=True), relative(path)


def test_importing_the_circuit_brings_in_nothing_heavy() -> None:
    """Nor by a detour: all of it but what runs in Brian2, the report, which is an xarray, its
    picture, and the estimator of scikit-learn.
    """
    needs = {"circuit.plastic.objects", "circuit.plastic.run", "circuit.methods.brian2"}
    needs |= {"circuit.sklearn.classifier"}
    needs |= {f"circuit.report.{name}" for name in ("canvas", "labelled", "picture")}
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES["circuit"]
        if path.parent.name != "brian"
    } - needs
    assert "circuit.equilibrium" in names
    heavy = ["torch", "brian2", "matplotlib", "dask", "sklearn", "xarray"]
    program = (
        f"import sys, {', '.join(sorted(names))}; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_circuit_draws_through_one_door() -> None:
    """`record.plot()`, in a session where the library alone is installed: the canvas stands in the
    report's wing, and nobody loads it who does not draw (see the test of what is heavy). All other
    pictures are a matter of the analysis, whose look is the same.
    """
    canvas = ROOT / "circuit" / "report" / "canvas.py"
    assert [path for path in ALL if "matplotlib" in imports(path)] == [canvas]
    users = [path for path in FILES["circuit"] if "canvas" in path.read_text(encoding="utf-8")]
    within = [path.parent.name for path in users if path.name != "equilibrium.py"]
    assert set(within) == {"report"}


def test_no_picture_goes_through_pyplot() -> None:
    """Which has the user's backend, windows and settings."""
    for path in ALL:
        text = path.read_text(encoding="utf-8")
        assert "import matplotlib.pyplot" not in text, relative(path)
        assert "mpl.use" not in text, relative(path)


def test_no_drawer_for_odds_and_ends() -> None:
    """A file is named for what it owns."""
    for path in ALL:
        assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "common"}, path


def test_no_two_classes_share_a_name() -> None:
    """What a name means does not depend on where one reads; nor is there a second `begin`."""
    places: dict[str, list[str]] = {}
    for path in [*ALL, *(ROOT / "benchmarks").rglob("*.py")]:
        tree = parsed(path)
        named = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        named += [node.name for node in tree.body if getattr(node, "name", "") == "begin"]
        for name in named:
            places.setdefault(name, []).append(relative(path))
    assert places["begin"] == ["circuit/dynamics.py"]
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def core_and_wings(root: Path) -> tuple[dict[str, int], set[str]]:
    """Lines of the files beside the library's wings, by their names; and the wings."""
    library = root / "circuit"
    core = {path.stem: path.read_text("utf-8").count("\n") for path in library.glob("*.py")}
    return core, {path.parent.name for path in library.glob("*/__init__.py")}


def test_the_core_is_read_in_one_sitting() -> None:
    """2,600 lines or fewer, in an order that names each file once; the wings stand below it."""
    core, wings = core_and_wings(ROOT)
    assert sum(core.values()) <= 2600
    text = ast.get_docstring(parsed(ROOT / "circuit" / "__init__.py"))
    assert text is not None
    order, others = (
        re.findall(r"\w+", " ".join(re.findall(r"^(\w+(?:, \w+)*)  +\w", part, re.MULTILINE)))
        for part in text.split("The wings,")
    )
    assert sorted(order) == sorted(core.keys() - {"__init__"})
    assert sorted(others) == sorted(wings)


def test_what_stands_beside_the_wings_is_counted(tmp_path: Path) -> None:
    """Files of the core with all their lines, and no file of a wing."""
    (tmp_path / "circuit" / "wing").mkdir(parents=True)
    for name, lines in (("__init__", 2), ("one", 3), ("wing/__init__", 5), ("wing/two", 7)):
        (tmp_path / "circuit" / f"{name}.py").write_text("# a line\n" * lines)
    assert core_and_wings(tmp_path) == ({"__init__": 2, "one": 3}, {"wing"})


@pytest.mark.parametrize("path", FILES["circuit"], ids=relative)
def test_every_circuit_file_says_what_it_owns(path: Path) -> None:
    """A docstring at the top."""
    assert ast.get_docstring(parsed(path)), relative(path)


def test_the_parser_sees_every_way_of_importing(tmp_path: Path, monkeypatch) -> None:
    """The tests above look through functions, branches, aliases and relative imports."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "circuit").mkdir()
    path = tmp_path / "circuit" / "file.py"
    path.write_text(
        "import a.b as x\nif True:\n    from c.d import e\nfrom . import f\n"
        "def g():\n    import h\n    async def i():\n        from j import k\n"
    )
    assert imports(path) == {"a", "c", "circuit", "h", "j"}
    assert imports(path, top_level=True) == {"a", "c", "circuit"}
