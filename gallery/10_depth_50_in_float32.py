"""
Depth 50 in float32
===================

**Can shifts be computed that are smaller than any number of float32?**
Yes, since shifts are computed themselves, each with a scale of its own, and not as differences of
rates: in layer 1 of 50 the shift is below 10 to the minus 90, and it points as in float64.
"""

import matplotlib.pyplot as plt
import numpy as np

from circuit import begin, build_circuit, initialise, settle

# %%
# The same circuit in both precisions.

network = initialise([20] * 51, 0, activation="asinh")
images = np.random.default_rng(0).random((10, 20))
records = {}
for dtype in ("float32", "float64"):
    narrow = network.astype(dtype)
    trial = begin(build_circuit(narrow, "gait", 0.01), images.astype(dtype), [3] * 10)
    records[dtype] = settle(trial)
    print(dtype, records[dtype].status.value, f"bound {max(records[dtype].error_bounds):.0e}")

first = [record.shifts.values[0].ravel().astype("float64") for record in records.values()]
cosine = first[0] @ first[1] / np.linalg.norm(first[0]) / np.linalg.norm(first[1])
print(f"layer 1: cosine of both precisions 1 - {1 - cosine:.0e}")

# %%
# Sizes of the shifts as powers of ten, beside what float32 can hold.

plt.style.use("tableau-colorblind10")
layers = range(1, 51)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for (dtype, record), style in zip(records.items(), ("o", "k-"), strict=True):
    axes.plot(layers, [record.shifts.norm(layer).log10 for layer in layers], style, ms=4,
              lw=1, label=f"settled in {dtype}")
for size, words in ((1e-7, "rounding of a rate near 1"), (1e-38, "smallest number of float32")):
    axes.axhline(np.log10(size), color="grey", ls=":")
    axes.text(1, np.log10(size) + 1.5, words, color="grey")
axes.set(xlabel="layer (50 is the output)", ylabel="shift, log10 of its norm",
         title="Float32 computes shifts far below its smallest number")
axes.legend(loc="lower right")
plt.show()
