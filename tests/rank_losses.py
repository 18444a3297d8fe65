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


def main() -> None:
    section = tiny.train_params(steps=int(sys.argv[1]))
    with ranks.joined(torch.device("cpu")):
        state = tiny.state(steps=section.steps)
        seen = [
            {**metrics.losses, "gradient_norm": metrics.gradient_norm}
            for metrics in train(state, [tiny.faces()], section)
        ]
        weights = [float(value.double().sum()) for value in state.ema.state_dict().values()]
        text = json.dumps({"count": ranks.count(), "losses": seen, "weights": weights})
        sys.stdout.write(text + "\n")  # in one piece: another process writes too


if __name__ == "__main__":
    main()
