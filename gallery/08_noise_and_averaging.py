"""
Noise and averaging
===================

**How long must noisy rates be averaged before their shift is known?**
Four times the time leaves half the error, once the time is many time constants of 10 ms: the error
of an average falls as one over the square root of the number of independent stretches.
"""

import matplotlib.pyplot as plt
import numpy as np

from circuit import begin, brian, build_circuit, initialise, settle

# %%
# Forty copies of one image, each with noise of its own, side by side in one run: five seconds
# without the nudge and five with it.

network = initialise([8, 8, 6], 1, activation="asinh")
images = np.repeat(np.random.default_rng(1).random((1, 8)), 40, axis=0)
trial = begin(build_circuit(network, "gait", 0.3, time_constant=10e-3), images, [2] * 40)
model = brian.build(trial, step=2e-3, noise=0.02, record=None)
record = brian.run_phases(
    model, free=5.2, nudged=5.2, start="forward", generator=np.random.default_rng(2)
)
true = settle(trial).shifts.absolute(1)[0]  # layer 1, without noise

# %%
# The shift of layer 1 as a difference of averages over a time T, after 0.2 s to settle.

times = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
errors = []
for span in times:
    steps, onset = round(span / 2e-3), round(record.onset / 2e-3)
    free = record.rates[0][100 : 100 + steps].mean(axis=0)
    nudged = record.rates[0][onset + 100 : onset + 100 + steps].mean(axis=0)
    missed = np.linalg.norm(nudged - free - true, axis=-1)
    errors.append(np.sqrt(np.mean(missed**2)) / np.linalg.norm(true))

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.loglog(times, errors, "o", label="Brian2, 40 runs")
axes.loglog(times, errors[-1] * np.sqrt(times[-1] / times), "k--", lw=1, label="slope -1/2")
axes.set(xlabel="averaging time of each phase (s)", ylabel="error of the shift, relative to it",
         title="Four times the averaging, half the error")
axes.legend()
plt.show()
