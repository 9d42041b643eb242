"""Files are written whole or not at all, and read back as what they were."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from xarray.backends.scipy_ import ScipyArrayWrapper

from analysis import records
from circuit import storage
from circuit.errors import CircuitError


def test_failed_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")

    def half(name):
        name.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_atomically(path, half)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_json_has_no_infinities(tmp_path):
    path = tmp_path / "a.json"
    records.write_json(path, {"a": math.inf, "b": [math.nan, np.float64(2)], "c": tmp_path})
    assert json.loads(path.read_text()) == {"a": None, "b": [None, 2.0], "c": str(tmp_path)}


def test_dataset_comes_back(tmp_path):
    data = xr.Dataset({"shift": (("sample", "unit"), np.eye(3))}, attrs={"seed": 4})
    records.write_dataset(tmp_path / "a.nc", data)
    assert records.read_dataset(tmp_path / "a.nc").identical(data)


def test_a_dataset_has_the_bytes_that_xarray_writes_and_dask_stays_out(tmp_path):
    """Names, words, numbers of all kinds, coordinates; in a process without a scheduler."""
    program = (
        "import sys, numpy as np, xarray as xr\n"
        "from pathlib import Path\n"
        "from analysis import records\n"
        "words = np.array(['gait', 'itp'])\n"
        "variables = {'x': (('rule', 'unit'), np.eye(2, 3)), 'n': ('unit', np.ones(3, 'i4')),\n"
        "             'scalar': 2.5, 'bare': ('unit', [np.nan, 1, 2], {'units': 'ms'})}\n"
        "data = xr.Dataset(variables, {'rule': words}, {'verdict': 'yes \u03b3', 'seed': 4})\n"
        "records.write_dataset(Path('ours.nc'), data)\n"
        "assert 'distributed' not in sys.modules\n"
        "data.to_netcdf('theirs.nc', engine='scipy')\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "ours.nc").read_bytes() == (tmp_path / "theirs.nc").read_bytes()


def test_reading_keeps_no_hold_of_the_file(tmp_path, monkeypatch):
    """SciPy warns, an error here, where an array outlives the file that it is mapped from."""
    records.write_dataset(tmp_path / "a.nc", xr.Dataset({"shift": ("unit", np.arange(9.0))}))
    held, read = [], ScipyArrayWrapper.__getitem__

    def holding(self, key):
        held.append(self.get_variable().data)
        return read(self, key)

    monkeypatch.setattr(ScipyArrayWrapper, "__getitem__", holding)
    assert records.read_dataset(tmp_path / "a.nc")["shift"].sum() == 36
    assert held


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"CDF\x01 truncated", b"words"])
def test_what_is_no_dataset_is_refused(tmp_path, content):
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(CircuitError, match=r"a\.nc"):
        records.read_dataset(tmp_path / "a.nc")


@pytest.mark.parametrize("part", [0.01, 0.2, 0.6, 0.99])
def test_a_truncated_dataset_is_refused(tmp_path, part):
    path = tmp_path / "a.nc"
    records.write_dataset(path, xr.Dataset({"shift": ("unit", np.arange(99.0))}, attrs={"a": 1}))
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CircuitError, match=r"a\.nc.*remove it"):
        records.read_dataset(path)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "a.nc").mkdir()
    with pytest.raises(CircuitError, match=r"a\.nc cannot be written .*make room"):
        records.write_dataset(tmp_path / "a.nc", xr.Dataset())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nc"]


def test_versions_name_what_results_depend_on():
    assert records.versions()["numpy"] == np.__version__
