"""What a study found, as short tables in words and numbers: one file a study.

A study's file has `findings(data)`, the lines that its command prints, made from its results alone.
"""

from __future__ import annotations

import importlib

import xarray as xr


def findings(name: str, data: xr.Dataset) -> list[str]:
    """The lines to print for the study called `name`."""
    lines: list[str] = importlib.import_module(f"analysis.findings.{name}").findings(data)
    return lines
