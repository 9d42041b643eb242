"""A rule of one's own, from a file of Python, which is run.

Owns how such a file is run, what it must hold, and the one line that refuses it. Standard library
only, apart from what the file imports.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from contextlib import ExitStack
from pathlib import Path

from circuit.peers.table import TABLE, register


def use_rule_file(path: str | Path | None) -> ExitStack:
    """Run the file, if there is one, and register the `RULE` that it ends in.

    A file that is in use already is left as it is.

    Returns
    -------
    ExitStack
        As of `circuit.peers.table.register`.

    Raises
    ------
    CircuitError
        In one line, for a file that cannot be read, raises, or holds no `Rule` called `RULE`.

    Examples
    --------
    >>> from circuit.peers import use_rule_file
    >>> with use_rule_file(None):
    ...     print("no file, no rule")
    no file, no rule
    >>> use_rule_file("nowhere.py")
    Traceback (most recent call last):
    circuit.errors.CircuitError: rule file nowhere.py is no file of Python; give FILE.py
    """
    from circuit.checks.words import shortened
    from circuit.errors import CircuitError

    if path is None:
        return ExitStack()
    source = Path(path).resolve()
    if any(line.source == str(source) for line in TABLE.values()):
        return ExitStack()
    name = f"rule_file_{hashlib.sha256(str(source).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None or not source.is_file():
        raise CircuitError(f"rule file {path} is no file of Python; give FILE.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        what = shortened(f"{type(error).__name__}: {error}", 300).replace("\n", " ")
        raise CircuitError(f"rule file {path} cannot be run ({what}); mend it") from None
    if not hasattr(module, "RULE"):
        raise CircuitError(f"rule file {path} has no RULE; end it in RULE = Rule(...)")
    return register(module.RULE, source=str(source))


def code_of(name: str) -> str:
    """A digest of the file that a rule comes from; empty for one of this package."""
    source = TABLE[name].source
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16] if source else ""
