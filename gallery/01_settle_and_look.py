"""
Settle and look
===============

**How far does each layer shift when the output is nudged?**
Every layer down shifts more than a hundred times less than the one above it, as the feedback
strength of 0.01 and the rule's direction foretell.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from circuit import begin, build_circuit, initialise, settle

# %%
# A network of four layers with orthogonal weights, twenty images of digits, weak feedback.

images, labels = load_digits(return_X_y=True)
network = initialise([64, 64, 64, 64, 64], 0, n_outputs=10)
circuit = build_circuit(network, "gait", 0.01)
trial = begin(circuit, images[:20] / 16, labels[:20])
record = settle(trial)  # raises unless every image has settled
print(record)

# %%
# The report says whose weight change the shifts carry, layer by layer.

report = record.report()
print(report.verdict)

# %%
# The sizes of the shifts, measured and foretold. (``record.plot()`` draws all of this at once.)

plt.style.use("tableau-colorblind10")
layers = [layer.layer for layer in report.layers]
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.semilogy(layers, [10**layer.log10_shift for layer in report.layers], "o", label="settled")
axes.semilogy(layers, [10**layer.log10_prediction for layer in report.layers], "k_", ms=18,
              label="foretold by gamma and GAIT-prop")
axes.semilogy(layers, [10**layer.log10_floor for layer in report.layers], ":", color="grey",
              label="rounding of a rate in float64")
axes.set(xlabel="layer (4 is the output)", ylabel="shift, root mean square (rate 1)",
         title="Each layer down shifts over a hundred times less", xticks=layers)
axes.legend()
plt.show()
