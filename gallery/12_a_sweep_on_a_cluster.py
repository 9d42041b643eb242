"""
A sweep on a cluster
====================

**How do I ask the same of many circuits at once?**
Write what is measured as a function of plain numbers and let Dask spread the calls: here over two
workers on this machine, with the address of a scheduler over a cluster.
"""

import matplotlib.pyplot as plt
import numpy as np
from distributed import Client

from circuit import RULES, begin, build_circuit, initialise, settle, updates
from circuit.report import agreement


def measure(depth: int, gamma: float, seed: int) -> float:
    """How far the circuit's weight change in layer 1 is from the gradient, relative to it."""
    generator = np.random.default_rng(seed)
    network = initialise([16] * (depth + 1), generator, activation="asinh")
    trial = begin(build_circuit(network, "gait", gamma), generator.random((10, 16)), [0] * 10)
    gradient = RULES["bp"](network, trial.activity, trial.error)
    both = (updates(network, trial.activity, s)[0] for s in (settle(trial).shifts, gradient))
    return agreement(*(one.weights for one in both)).relative_error


# %%
# 72 circuits. ``Client("tcp://scheduler:8786")`` would send them to a cluster. For a sweep that
# keeps what is done and goes on after an interruption, see the page on numerics.

depths, strengths, seeds = (2, 4, 8), np.geomspace(0.01, 0.3, 6), range(4)
cells = [(depth, gamma, seed) for depth in depths for gamma in strengths for seed in seeds]
with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as client:
    print(len(client.scheduler_info()["workers"]), "workers")
    found = client.gather(client.map(measure, *zip(*cells, strict=True)))
errors = np.reshape(found, (len(depths), len(strengths), len(seeds)))

# %%
# Mean and range over the seeds.

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for depth, values, style in zip(depths, errors, ("o-", "s--", "^:"), strict=True):
    axes.loglog(strengths, values.mean(axis=-1), style, label=f"{depth} layers")
    axes.fill_between(strengths, values.min(axis=-1), values.max(axis=-1), alpha=0.2)
axes.set(xlabel="feedback strength gamma", ylabel="distance from the gradient, layer 1, relative",
         title="Feedback strength matters, depth hardly")
axes.legend(title="mean and range of 4 seeds")
plt.show()
