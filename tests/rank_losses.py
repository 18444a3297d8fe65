"""Train the tiny model and print what each step did; `tests/e2e/test_ranks.py` runs it.

Run: python -m tests.rank_losses STEPS, or the same by torchrun.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from facegraft.core import ranks
from facegraft.training.loop import train
from tests import tiny
from tests.album_pictures import PEOPLE


def steps_done(steps: int) -> dict[str, Any]:
    """The losses of every step, and afterwards each parameter's last gradient and weight.

    In float64, where the order of sums shows in the sixteenth figure: two processes and one, or
    two processors, can be compared as if they were exact. As sums of squares, to be printed.
    """
    with tiny.float64():
        state = tiny.state(steps=steps)
        section = tiny.train_params(steps=steps)
        losses = [
            {**metrics.losses, "gradient_norm": metrics.gradient_norm}
            for metrics in train(state, [tiny.faces()], section, PEOPLE)
        ]
    trained = {**dict(state.model.named_parameters()), **dict(state.heads.named_parameters())}
    gradients = {name: one.grad for name, one in trained.items() if one.grad is not None}
    return {
        "losses": losses,
        "gradients": {name: squares(one) for name, one in gradients.items()},
        "weights": {name: squares(one) for name, one in state.ema.state_dict().items()},
    }


def squares(value: torch.Tensor) -> float:
    return float(value.detach().double().square().sum())


def main() -> None:
    with ranks.joined(torch.device("cpu")):
        done = {"count": ranks.world_size(), **steps_done(int(sys.argv[1]))}
        sys.stdout.write(json.dumps(done) + "\n")  # in one piece: another process writes too


if __name__ == "__main__":
    main()
