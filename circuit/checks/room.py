"""How many synapses Brian2 can carry, and so how many images at once.

Owns that count, worked out without Brian2, whose import takes a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuit.errors import CircuitError

MOST_SYNAPSES = 20_000_000  # about 1 GB while Brian2 sums over them


def require_so_few(count: int, widths: Sequence[int]) -> None:
    """Raise `CircuitError` where there would be more than `MOST_SYNAPSES`."""
    if count > MOST_SYNAPSES:
        raise CircuitError(
            f"{count} synapses in widths {widths} are more than the {MOST_SYNAPSES} that Brian2 "
            "can carry here; give fewer images or networks at a time, or narrower layers"
        )


def images_that_fit(
    widths: Sequence[int], *, auxiliary: bool = True, whole_input: bool = False
) -> int:
    """How many images of a network with widths N_0 .. N_L `brian.make_pieces` takes at once.

    `auxiliary` and `whole_input` as in `circuit.initialise`.
    """
    read = widths[1:] if auxiliary else widths[:-1]
    read = (widths[0], *read[1:]) if whole_input else read
    pairs = zip(widths[1:], read, strict=True)
    return MOST_SYNAPSES // both_ways([units * columns for units, columns in pairs])


def both_ways(sizes: Sequence[int]) -> int:
    """Synapses of one image: into every layer, and back down from every layer but the first."""
    return sum(sizes) + sum(sizes[1:])
