"""What a person sees of a sweep: how many cells are on disk; and the outcome."""

from __future__ import annotations

import os
import time
from pathlib import Path

import xarray as xr

from analysis.progress import ProgressBar
from analysis.sweep.kept import MISSING, summary
from analysis.sweep.study import Cell, Study

LOOK = 0.2  # seconds between two looks at what is done, on a terminal
INTERVAL = 10.0  # seconds between two lines, where there is none
SHOWN = 3  # cells that are named one by one


class SweepProgress(ProgressBar):
    """How many cells of a study are on disk.

    Parameters
    ----------
    waiting : the cells that were not on disk at the beginning
    quiet : True says nothing at all
    """

    def __init__(self, study: Study, waiting: list[Cell], folder: Path, quiet: bool):
        super().__init__(study.name, quiet)
        self.total = len(study.cells)
        self.kept = self.total - len(waiting)
        self.folder = study.path(study.cells[0], folder).parent
        self.files = {study.path(cell, folder).name for cell in waiting}
        if not waiting:
            return
        self.show_bar(total=self.total, initial=self.kept, desc=study.name, unit="cell")
        if self.bar is None:
            self.say(f"{self.total} cells" + (f", {self.kept} on disk" if self.kept else ""))

    def update(self, *, now: bool = False) -> None:
        """Look what is on disk and show it, if it is time or `now`."""
        clock = time.monotonic()
        pause = INTERVAL if self.bar is None else LOOK
        if self.quiet or not self.files or not (now or clock - self.looked >= pause):
            return
        self.looked = clock
        new = sum(entry.name in self.files for entry in os.scandir(self.folder))
        if self.bar is not None:
            self.bar.update(self.kept + new - self.bar.n)
            return
        rest = f", {self.left(new / len(self.files))}" if new else ""
        self.say(f"{self.kept + new} of {self.total} cells{rest}")

    def close(self) -> None:
        """Bring the bar up to date and leave it."""
        if self.bar is not None:
            self.update(now=True)
        super().close()

    def report(self, study: Study, folder: Path, dataset: xr.Dataset) -> None:
        """Say what became of the cells, and name the first that failed or are missing."""
        self.say(f"{dataset.attrs['cells']}; in {folder / study.name}.nc")
        cells = list(zip(study.cells, dataset["status"].values.tolist(), strict=True))
        for word, remedy in (("failed", "to measure it again, remove"), (MISSING, "it is not in")):
            bad = [(cell, status) for cell, status in cells if summary(status) == word]
            for cell, status in bad[:SHOWN]:
                self.say(f"  {cell}: {status}; {remedy} {study.path(cell, folder)}")
            if len(bad) > SHOWN:
                self.say(f"  and {len(bad) - SHOWN} more {word}")
