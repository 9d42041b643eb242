"""
A spiking read-out of the rates
===============================

**How long must spikes be counted before they show a shift?**
A population of 200 neurons shows it within a tenth of a second; the spikes of a single neuron leave
it in doubt even after two seconds.
"""

import brian2
import matplotlib.pyplot as plt
import numpy as np
from brian2 import ms, second

from circuit import begin, brian, build_circuit, initialise, settle

brian2.prefs.codegen.target = "numpy"  # quick to start
network = initialise([8, 8, 6], 5, activation="asinh")
images = np.random.default_rng(5).random((1, 8))
trial = begin(build_circuit(network, "gait", 0.5, time_constant=10 * ms), images, [4])

# %%
# The unit of layer 1 that shifts most drives Poisson neurons: 50 spikes a second at rate 0, and 40
# more for each unit of rate. For two seconds the output is free, for two more it is nudged.

pieces = brian.make_pieces(trial, step=1 * ms)
unit, count = int(abs(settle(trial).shifts.absolute(1)[0]).argmax()), 200
population = brian2.NeuronGroup(
    count, "rate : 1", threshold="rand() < (50 + 40*rate)*Hz*dt", clock=pieces.clock
)
equation = "rate_post = y_pre : 1 (summed)"
drive = brian2.Synapses(pieces.layers[1], population, equation, clock=pieces.clock)
drive.connect(i=unit, j=np.arange(count))
spikes = brian2.SpikeMonitor(population)
rate = brian2.StateMonitor(pieces.layers[1], "y", record=[unit], clock=pieces.clock)
brian2.seed(0)
model = brian2.Network(*pieces.objects, population, drive, spikes, rate)
brian.set_rates(pieces, trial.activity.rates[1:])
model.run(2 * second, namespace={})
brian.set_nudge(pieces, True)
model.run(2 * second, namespace={})

# %%
# Spikes of the population in bins of 100 ms, and what the rate of the unit lets one expect.

plt.style.use("tableau-colorblind10")
bins = np.arange(0, 4.05, 0.1)
counts = np.histogram(spikes.t / second, bins)[0] / count / 0.1
one = np.histogram((spikes.t / second)[np.asarray(spikes.i) == 0], bins)[0] / 0.1
for name, found in (("one neuron", one), (f"{count} neurons", counts)):
    error = np.hypot(found[:20].std(), found[20:].std()) / 20**0.5
    print(f"{name}: {found[20:].mean() - found[:20].mean():.1f} +- {error:.1f} per second")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(bins[:-1] + 0.05, one, "x", color="silver", label="one neuron")
axes.plot(bins[:-1] + 0.05, counts, "o", ms=4, label=f"mean of {count} neurons")
axes.plot(rate.t / second, 50 + 40 * rate.y[0], "k", lw=1, label="expected from the unit's rate")
axes.axvline(2, color="grey", ls=":", label="the nudge begins")
axes.set(xlabel="time (s)", ylabel="spikes per second, bins of 100 ms",
         title="200 spiking neurons show the shift, one does not", ylim=(0, 150))
axes.legend(loc="upper left", ncols=2)
plt.show()
