"""Section B: the default method against other libraries on the same circuit (point 17)."""

from __future__ import annotations

from typing import Any

from benchmarks import others, others_jax
from benchmarks.circuits import PATHWAYS, CircuitSizes
from benchmarks.tables import Section, columns
from benchmarks.timing import Worker, take_turns

OURS = "settle, direct"
ONE_IMAGE = "settle, direct, 1 image"


def contestants(sizes: CircuitSizes, pathway: str) -> dict[str, tuple[Any, ...]]:
    """Name -> the modules it needs, the function that prepares it, and its arguments."""
    recipe = (sizes.width, sizes.depth, sizes.batch, pathway)
    one = (sizes.width, sizes.depth, 1, pathway)
    thorough = sizes.thorough
    jax, torch = ("jax", "diffrax", "optimistix"), ("torch", "torchdeq")
    table: dict[str, tuple[Any, ...]] = {
        OURS: ((), others.prepare_settle, recipe),
        ONE_IMAGE: ((), others.prepare_settle, one),
        "diffrax Dopri5, steps of one length": (
            jax,
            others_jax.prepare_diffrax,
            recipe,
            "constant",
            thorough,
        ),
        "diffrax Dopri5, error control": (
            jax,
            others_jax.prepare_diffrax,
            recipe,
            "adaptive",
            thorough,
        ),
        "diffrax Dopri5 on the rates": (jax, others_jax.prepare_rates, recipe),
        "optimistix": (jax, others_jax.prepare_optimistix, recipe, thorough),
        "torchdeq Anderson": (torch, others.prepare_torchdeq, recipe, thorough),
        "Brian2, numpy": (("brian2",), others.prepare_brian2, one, "numpy"),
    }
    if thorough:
        table["Brian2, cython"] = (("brian2", "Cython"), others.prepare_brian2, one, "cython")
    return table


def against_others(sizes: CircuitSizes) -> Section:
    """Section B."""
    section = Section("B. The default method against other libraries (point 17: 50; Brian2 1000)")
    for pathway in PATHWAYS:
        section.rows += _duel(sizes, pathway)
    section.remarks += [
        "Ours runs from raw inputs to a judged record. The others run from the forward pass, with "
        "explicit inverses, compiled, in shift coordinates in each layer's own scale, and stop "
        "where every layer's residual is below 1e-10; settings were tried one by one and the "
        "fastest kept. Each contestant has a process of its own, and they take turns.",
        "The rates themselves, as the equations are printed, cannot reach 1e-10 in float64 in the "
        "lower layers, where the shift is 1e-10 of the rate: the row on the rates shows how far "
        "they go.",
        "Brian2 has rates too, and is timed up to the floor that float64 sets (64 times eps |y| / "
        "|shift| in each layer), without its free phase, with one image. Its ratio is that of "
        "seconds per image, ours with the whole batch; ours with one image is listed beside it.",
    ]
    return section


def _duel(sizes: CircuitSizes, pathway: str) -> list[dict[str, Any]]:
    workers: dict[str, Worker] = {}
    rows: dict[str, dict[str, Any]] = {}
    try:
        for name, (modules, prepare, *arguments) in contestants(sizes, pathway).items():
            rows[name] = {"pathway": pathway, "contestant": name}
            absent = others.missing(*modules)
            if absent:
                rows[name]["setting"] = f"not installed ({absent})"
                continue
            worker = Worker(prepare, *arguments)
            if worker.failure is not None:
                rows[name]["setting"] = worker.failure
                worker.stop()
                continue
            workers[name] = worker
        turns = {name: worker.turn for name, worker in workers.items()}
        timings = take_turns(turns, sizes.rounds, limit=sizes.limit / 3)
    finally:
        for worker in workers.values():
            worker.stop()
    for name, timing in timings.items():
        facts, images = workers[name].facts, _images(sizes, name)
        ratio = timing.ratio_to(timings[OURS])
        per_image = sizes.batch / images
        low, high = ratio.quartiles
        rows[name] |= {
            **columns(timing),
            "ms per image": 1e3 * timing.median / images,
            "ratio per image": per_image * ratio.median,
            "ratio quartiles": [per_image * low, per_image * high],
            "rounds": len(timing.seconds),
            "worst residual": max(facts.residuals),
            "reached": facts.reached,
            "steps": facts.steps,
            "setting": facts.setting,
            "settings tried": facts.tried,
            "residuals": list(facts.residuals),
        }
    return list(rows.values())


def _images(sizes: CircuitSizes, name: str) -> int:
    return 1 if name == ONE_IMAGE or name.startswith("Brian2") else sizes.batch
