"""Train networks by any rule of the table, or by a circuit that settles for every batch.

Owns the way from options to checkpoints, history, weights and figures. Exit status: 0 if all epochs
were completed; 1 if weights became singular or were no longer finite; 2 for bad input; 130 if
interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from models.command.parsing import fail, parse
from models.command.rule_files import require_known, use_rule_files
from models.command.shared import refuse_what_idles, take_own_images
from models.command.training_options import PROGRAM, options
from models.command.training_settings import resolved
from models.command.words import speaking

if TYPE_CHECKING:
    from training.images import Images
    from training.plan import Plan


@speaking(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    began = time.perf_counter()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with use_rule_files(PROGRAM, arguments):
            chosen = parse(options(), arguments)
            require_known(PROGRAM, chosen)
            return exit_status(chosen, began)
    except KeyboardInterrupt:  # also of the imports, which take a while
        again = [word for word in arguments if word != "--resume"]
        print(
            f"{PROGRAM}: interrupted; to go on from the last checkpoint, run "
            f"{shlex.join(['python', 'models/run_training.py', *again, '--resume'])}",
            file=sys.stderr,
        )
        return 130


def exit_status(chosen: argparse.Namespace, began: float) -> int:
    """That of the run; bad input and useless weights are told in one line."""
    from circuit.errors import CircuitError
    from training.epochs import TrainingFailed
    from training.images import ImageError

    try:
        with ExitStack() as leaving:
            return run(chosen, began, leaving)
    except (CircuitError, ImageError) as error:
        fail(PROGRAM, str(error))
    except TrainingFailed as error:  # before the first epoch; later ones are seen to in `run`
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        fail(PROGRAM, f"{error}; use fewer --seeds, narrower --widths, or --train-images")


def run(chosen: argparse.Namespace, began: float, leaving: ExitStack) -> int:
    """Everything between the options and the exit status."""
    from analysis.lock import locked
    from circuit.errors import CircuitError
    from circuit.storage.owner import remove_leftovers
    from training import checkpoints
    from training.epochs import TrainingFailed, begin_training, train
    from training.plan import batches_of_an_epoch, plan_of, prepare
    from training.report import TrainingProgress, write_results

    take_own_images(PROGRAM, chosen)
    settings = resolved(chosen)
    refuse_what_idles(PROGRAM, chosen, [settings["dataset"]])
    require_device(chosen.device)
    folder = leaving.enter_context(locked(chosen.output))
    checkpoint = folder / "checkpoint.npz"
    if checkpoint.exists() and not chosen.resume:
        raise CircuitError(
            f"{checkpoint} holds a run already; give --resume to go on with it, or another --output"
        )
    train_images, test_images, digest = load_images(settings)
    plan = plan_of(settings, train_images.inputs.shape[1])
    material = prepare(plan, train_images, test_images)
    require_learning(plan, settings["epochs"] * batches_of_an_epoch(plan, material))
    configured = checkpoints.configuration(plan, settings["dataset"], digest)
    settings["dataset"] = train_images.name  # in words, from here on
    epochs = settings["epochs"]
    progress = TrainingProgress(plan, material, settings, quiet=chosen.quiet)
    going_on, changes = checkpoint.exists(), list[str]()
    if going_on:
        state, changes = checkpoints.load(checkpoint, plan, configured, material)
        if (state.epoch, state.batch) > (epochs, 0):
            raise CircuitError(
                f"{checkpoint} has {state.epoch} epochs and {state.batch} batches, more than "
                f"--epochs {epochs}; give more epochs, or another --output"
            )
    else:
        state = begin_training(plan, material)
    failure = None
    remove_leftovers(folder)
    progress.announce(state)
    for remark in dict.fromkeys((train_images.remark, test_images.remark)):
        if remark:
            progress.say(remark)
    if going_on:
        progress.resumed(state, changes)
    elif chosen.resume:
        progress.say(f"no checkpoint in {folder}: from the beginning")
    try:
        for reached in train(plan, material, state, epochs):
            state = reached
            if state.at_rest:
                checkpoints.save(checkpoint, state, plan, configured)
            progress.update(state)
    except TrainingFailed as error:
        failure = str(error)
    finally:
        progress.close()
    write_results(
        folder,
        plan,
        state,
        settings,
        failure,
        pdf=chosen.pdf,
        figures=not chosen.no_figures,
        seconds=time.perf_counter() - began,
    )
    return 1 if failure else 0


def load_images(settings: dict[str, Any]) -> tuple[Images, Images, str]:
    """Training and test images, and a digest of all that is in them."""
    import numpy as np

    from training import images

    digest = hashlib.sha256()
    splits = []
    for split in ("train", "test"):
        one = images.load(
            settings["dataset"],
            split=split,
            data_dir=settings["data_dir"],
            dtype=settings["precision"],
        )
        digest.update(one.inputs.data)
        digest.update(one.labels.data)
        if one.targets is not None:
            digest.update(np.ascontiguousarray(one.targets).data)
        splits.append(one)
    return splits[0], splits[1], digest.hexdigest()[:16]


def require_learning(plan: Plan, steps: int) -> None:
    """Raise `CircuitError` if the network would learn in none of so many `steps`."""
    from circuit.errors import CircuitError
    from circuit.learned_inverse.companions import LearnedInverse
    from circuit.settings.learned_inverse import ALTERNATING

    inverse = plan.lesson.inverse
    if isinstance(inverse, LearnedInverse) and inverse.network_steps(steps) == 0:
        blocks = inverse.order == ALTERNATING and inverse.before < steps
        option = f"block {inverse.block}" if blocks else f"before {inverse.before}"
        raise CircuitError(
            f"--inverse-{option} leaves none of the {steps} batches of this run to the network; "
            "give fewer, or more --epochs"
        )


def require_device(device: str | None) -> None:
    """Raise `CircuitError` unless PyTorch is there and can compute on `device`."""
    from circuit.errors import CircuitError

    if device is None:
        return
    try:
        import torch
    except ImportError:
        raise CircuitError(
            f"--device {device} needs PyTorch, which is not installed; install the extra "
            "gait-circuit[torch], or leave --device out to compute with NumPy"
        ) from None
    try:
        torch.zeros(1, device=device).item()  # "meta" has shapes and no numbers
    except (RuntimeError, AssertionError) as error:
        words = str(error).splitlines()[0]
        raise CircuitError(
            f"--device {device} is not to be had ({words}); use cpu, or leave --device out"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
