"""Train the tiny model and print the losses of each step; `tests/e2e/test_ranks.py` runs it.

Run: python -m tests.rank_losses STEPS, or the same by torchrun.
"""

from __future__ import annotations

import json
import sys

import torch

from facegraft import ranks
from facegraft.training import train
from tests import tiny
from tests.album_pictures import PEOPLE

RATE = 1e-6
"""Small: Adam turns the sign of a gradient that is all rounding into a whole step, which would part
the weights; a wrong gradient shows in the gradient's norm."""


def main() -> None:
    section = tiny.train_params(steps=int(sys.argv[1]), learning_rate=RATE)
    with ranks.joined(torch.device("cpu")):
        state = tiny.state(steps=section.steps, learning_rate=RATE)
        seen = [
            {**metrics.losses, "gradient_norm": metrics.gradient_norm}
            for metrics in train(state, [tiny.faces()], section, PEOPLE)
        ]
        weights = [float(value.double().sum()) for value in state.ema.state_dict().values()]
        text = json.dumps({"count": ranks.count(), "losses": seen, "weights": weights})
        sys.stdout.write(text + "\n")  # in one piece: another process writes too


if __name__ == "__main__":
    main()
