"""Tests: expectations come from elsewhere than the code (CONTRIBUTING.md)."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one process of several, each with a core of its own
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
