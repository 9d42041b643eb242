"""
The kink
========

**What becomes of leaky-ReLU circuits when feedback is strong?**
Some units come to rest at their kink, with a slope between the two of the pieces. A method that
looks only at the pieces loses those images; the default one finds them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from circuit import Status, begin, build_circuit, initialise, settle

images, labels = load_digits(return_X_y=True)
network = initialise([64, 64, 64, 64, 64], 0, n_outputs=10)
first = begin(build_circuit(network, "gait", 0.1), images[:30] / 16, labels[:30])
strengths = [0.1, 0.3, 0.4, 0.5, 0.6, 0.7]

# %%
# The share of images that settle: by ``direct`` alone, which solves one piece after another, and by
# the default, which goes on with ``newton`` where that finds nothing.

shares: dict[str, list[float]] = {"direct": [], "default": []}
for gamma in strengths:
    trial = first.with_feedback(gamma)
    for method, found in shares.items():
        options = {"max_steps": 100} if method == "direct" else {}
        record = settle(trial, method, must_converge=False, **options)
        settled = [status is Status.CONVERGED for status in record.sample_status]
        found.append(100 * np.mean(settled))
at_kink = sum(int((slopes != 0).sum()) for slopes in record.sliding_slopes)
print(f"gamma {gamma}: {at_kink} units of {30 * 4 * 64} rest at their kink")

# %%
# Images settled, by feedback strength.

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(strengths, shares["default"], "o-", label="default: states at the kink too")
axes.plot(strengths, shares["direct"], "s--", label="direct alone: piece by piece")
axes.set(xlabel="feedback strength gamma", ylabel="images settled (%), of 30",
         title="The default method settles images that direct alone loses",
         ylim=(0, 105))
axes.legend(loc="lower left")
plt.show()
