"""The reference, made from the faces of the library: one page for each name that they offer.

A face is an `__init__.pyi`; its `__all__` says what it offers and its imports say where that is
defined. A name that two faces offer has its page under the first, and a link from the other. What
is written is reStructuredText for Sphinx, never kept in git.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

LIBRARY = "circuit"


@dataclass(frozen=True)
class Public:
    """A name that a face offers.

    Attributes
    ----------
    face : the module that offers it, as `circuit.learning`
    name : in that module
    origin : the module that defines it, or one that has it from there
    home : the first face that offers the same, under which it has its page
    """

    face: str
    name: str
    origin: str
    home: str

    @property
    def value(self) -> Any:
        """The object itself."""
        return getattr(import_module(self.face), self.name)

    @property
    def has_docstring(self) -> bool:
        """Whether it is a function or class of the library, and no constant."""
        value = self.value
        ours = str(getattr(value, "__module__", "")).startswith(LIBRARY)
        return ours and (inspect.isclass(value) or inspect.isroutine(value))

    @property
    def page(self) -> str:
        """Where it is described: `circuit.learning.learn`."""
        return f"{self.home}.{self.name}"


def stubs(root: Path) -> dict[str, Path]:
    """Every face below the folder that holds the library, the library's own first."""
    found = sorted((root / LIBRARY).rglob("__init__.pyi"), key=lambda path: path.as_posix())
    found.sort(key=lambda path: len(path.parts))
    return {".".join(path.parent.relative_to(root).parts): path for path in found}


def offered(face: str, stub: Path) -> dict[str, str]:
    """The names in a face's `__all__`, each with the module from which the face has it."""
    tree = ast.parse(stub.read_text("utf-8"))
    origins = {
        alias.asname or alias.name: f"{face}.{node.module}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return {name: origins[name] for name in names}


def defined_in(origin: str, name: str) -> str:
    """The module in which a function or class is written down; else the one that was named."""
    found = getattr(getattr(import_module(origin), name), "__module__", None)
    return found if isinstance(found, str) and found.startswith(LIBRARY) else origin


def public(root: Path) -> list[Public]:
    """All that the faces offer, face by face."""
    homes: dict[tuple[str, str], str] = {}
    found = []
    tables = {face: offered(face, stub) for face, stub in stubs(root).items()}
    for face, names in tables.items():
        for name, named in names.items():
            origin = defined_in(tables[named][name] if named in tables else named, name)
            home = homes.setdefault((origin, name), face)
            found.append(Public(face, name, origin, home))
    return found


def words_below(origin: str, name: str) -> str:
    """What is said of a constant: the string below its assignment, here or where it comes from."""
    body = ast.parse(inspect.getsource(import_module(origin))).body
    for node, below in pairwise(body):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return words_below(str(node.module), name)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = {getattr(one, "id", "") for target in targets for one in ast.walk(target)}
            if name in found:
                return inspect.cleandoc(ast.literal_eval(below.value))
    return ""


def as_written(text: str) -> str:
    r"""A line of a docstring in reStructuredText: what is in backticks is code, all else is plain.

    >>> print(as_written("|y_l| of the `Layer`s, W_ and *x"))
    \|y_l\| of the ``Layer``\ s, W\_ and \*x
    """
    plain, *others = text.split("`")
    found = [_escaped(plain)]
    for i, part in enumerate(others):
        if i % 2 == 0:
            found.append("``" + part)
        else:
            found.append("``" + ("\\ " if part[:1].isalnum() else "") + _escaped(part))
    return "".join(found)


def _escaped(text: str) -> str:
    """Without signs that mean something; a page in `docs` becomes a link to it."""
    plain = re.sub(r"[*|]|_(?!\w)", lambda sign: "\\" + sign[0], text)
    return re.sub(r"docs/([\w/]+)\.md", r":doc:`docs/\1.md </\1>`", plain)


def translate(lines: list[str]) -> None:
    """The lines of a docstring, in place: all but the examples and names of parameters."""
    for i, line in enumerate(lines):
        if line.strip() == "Examples":
            return
        name, colon, words = line.partition(" : ")
        lines[i] = name + colon + as_written(words) if colon else as_written(line)


def first_line(text: str | None) -> str:
    """The first sentence or line of a docstring."""
    return as_written(inspect.cleandoc(text or "").split("\n\n")[0].replace("\n", " "))


def entries(value: Any, origin: str) -> list[str]:
    """The entries of a table as lines, with what is said of each."""
    wing = origin.rpartition(".")[0]
    lines = []
    for key, entry in value.items():
        words = first_line(entry.__doc__) if inspect.isroutine(entry) else ""
        if not words:  # a table of files says what each file says
            try:
                words = first_line(import_module(f"{wing}.{key}").__doc__)
            except ModuleNotFoundError:
                words = ""
        lines.append(f"* ``{key}``" + (f": {words}" if words else ""))
    return lines


def page_of(one: Public) -> str:
    """The page of a name."""
    head = f"{one.page}\n{'=' * len(one.page)}\n\n"
    value = one.value
    if one.has_docstring:
        if not inspect.isclass(value):
            return f"{head}.. autofunction:: {one.page}\n"
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        return f"{head}.. {kind}:: {one.page}\n   :members:\n"
    lines = [as_written(words_below(one.origin, one.name)), ""]
    lines += entries(value, one.origin) if isinstance(value, dict) else [f"Value: ``{value!r}``"]
    body = "\n".join(f"   {line}".rstrip() for line in "\n".join(lines).split("\n"))
    return f"{head}.. py:data:: {one.page}\n\n{body}\n"


def summary(one: Public) -> str:
    """A row of a face's table."""
    words = first_line(
        one.value.__doc__ if one.has_docstring else words_below(one.origin, one.name)
    )
    return f"   * - :py:obj:`~{one.page}`\n     - {words}"


def face_page(face: str, names: list[Public]) -> str:
    """The page of a face: what it is, and a table of its names."""
    words = first_line(import_module(face).__doc__)
    own = [f"   {one.page}" for one in names if one.home == face]
    rows = "\n".join(summary(one) for one in names)
    return (
        f"{face}\n{'=' * len(face)}\n\n{words}\n\n"
        f".. list-table::\n   :widths: 30 70\n\n{rows}\n\n"
        ".. toctree::\n   :hidden:\n\n" + "\n".join(own) + "\n"
    )


def write(root: Path, folder: Path) -> None:
    """All pages of the reference, and none of a name that is gone; what is the same stays."""
    found = public(root)
    faces = list(stubs(root))
    pages = {one.page: page_of(one) for one in found}
    pages |= {face: face_page(face, [one for one in found if one.face == face]) for face in faces}
    rows = "\n".join(
        f"   * - :doc:`{face}`\n     - {first_line(import_module(face).__doc__)}" for face in faces
    )
    pages["index"] = (
        "Reference\n=========\n\n"
        "Every name that the library offers, with its shapes, its errors and an example.\n\n"
        f".. list-table::\n   :widths: 30 70\n\n{rows}\n\n"
        ".. toctree::\n   :hidden:\n\n" + "\n".join(f"   {face}" for face in faces) + "\n"
    )
    folder.mkdir(exist_ok=True)
    for path in set(folder.glob("*.rst")) - {folder / f"{name}.rst" for name in pages}:
        path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
