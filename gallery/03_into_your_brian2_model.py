"""
Into your Brian2 model
======================

**How do I put the circuit beside neurons of my own?**
As groups and synapses that belong to no network yet: here a neuron of ours turns up the nudge, and
the layers follow it, the lower ones later and less.
"""

import brian2
import matplotlib.pyplot as plt
import numpy as np
from brian2 import ms

from circuit import begin, brian, build_circuit, initialise

brian2.prefs.codegen.target = "numpy"  # for the objects of ours; the pieces bring their own
network = initialise([8, 8, 8, 6], 1, activation="asinh")
images = np.random.default_rng(1).random((1, 8))
trial = begin(build_circuit(network, "gait", 0.2, time_constant=10 * ms), images, [2])

# %%
# The pieces of the circuit, and a neuron that comes alive after 100 ms. Its rate sets ``gamma`` of
# the output units, so that it decides how strongly the target is felt.

pieces = brian.make_pieces(trial, step=1 * ms)
attention = brian2.NeuronGroup(
    1, "dr/dt = (int(t > 100*ms) - r)/(20*ms) : 1", method="euler", clock=pieces.clock
)
gate = brian2.Synapses(
    attention, pieces.layers[-1], "gamma_post = 0.2*r_pre : 1 (summed)", clock=pieces.clock
)
gate.connect()
monitors = [
    brian2.StateMonitor(layer, "y", record=True, clock=pieces.clock) for layer in pieces.layers[1:]
]
model = brian2.Network(*pieces.objects, attention, gate, *monitors)
brian.set_rates(pieces, trial.activity.rates[1:])  # begin in the forward pass
model.run(500 * ms, namespace={})

# %%
# How far every layer has moved from the forward pass.

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for layer, monitor in reversed(list(enumerate(monitors, 1))):
    moved = monitor.y - trial.activity.rates[layer].T
    axes.semilogy(monitor.t / ms, np.linalg.norm(moved, axis=0), label=f"layer {layer}")
axes.axvline(100, color="grey", ls=":")
axes.text(112, 2e-6, "our neuron wakes", color="grey")
axes.set(xlabel="time (ms)", ylabel="distance from the forward pass (rate 1)",
         title="A neuron of ours turns up the nudge, and the layers follow",
         ylim=(1e-6, 1))
axes.legend()
plt.show()
