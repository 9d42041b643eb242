"""The network of a weights file beside the images that it is to see."""

from __future__ import annotations

from pathlib import Path

from circuit.errors import CircuitError
from circuit.network import Network
from training.image_record import Images


def fitted(
    path: str | Path, network: Network, data: Images, dtype: str, *, spare_outputs: bool = False
) -> Network:
    """The network in the precision `dtype`.

    Raises `CircuitError` unless it has an input for each pixel and an output for each class, and no
    more of these unless `spare_outputs` may be there.
    """
    pixels, outputs = data.inputs.shape[1], network.n_outputs
    fits = outputs >= data.n_classes if spare_outputs else outputs == data.n_classes
    if network.n_inputs != pixels or not fits:
        raise CircuitError(
            f"weights file {path} holds a network from {network.n_inputs} inputs to "
            f"{outputs} outputs; images of {data.name} need {pixels} and "
            f"{data.n_classes}: give another --weights or --dataset"
        )
    return network.astype(dtype)
