"""How near a training step comes to what this machine can do, and where the rest goes.

Run: python -m benchmarks.training. Counts the floating-point operations of the convolutions and
matrix products of one step (losses and their gradients), measures in the same run the best rates at
which this machine does either, and prints which fraction of that the step reaches, at half, whole
and double batch; then each part of a step, and each kind of operation. First of steps that train
the encoder, then of those that train the decoder. Seconds are of the processor
(all threads together), which other programs disturb least. Random pictures: time does not depend on
what is drawn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.method import random_grid, several
from facegraft.core.config import TrainParams
from facegraft.core.params_file import load_params
from facegraft.data.grids import Grid
from facegraft.method.model import ModelConfig
from facegraft.training.loop import Batch, draw_batch, step_losses, weighted
from facegraft.training.phases import Phase, begin, phases
from facegraft.training.state import TrainState, init_state, update_ema

REPEATS = 7
ROUNDS = 12
"""Of each shape that the best rate is sought on."""

CONVOLUTIONS = ((32, 64, 32), (32, 128, 16), (32, 256, 8), (16, 256, 32))
"""Images, channels in and out, side."""

KINDS = {
    "convolution, forward": ("aten::mkldnn_convolution", "aten::_slow_conv2d_forward"),
    "convolution, backward": ("aten::mkldnn_convolution_backward", "aten::convolution_backward"),
    "batch norm (and instance norm)": ("native_batch_norm", "batch_norm_backward"),
    "linear layers and matrices": ("aten::addmm", "aten::mm", "aten::bmm"),
    "reading pixels by a flow": ("grid_sampler",),
    "splatting and gathering": ("aten::scatter", "aten::index", "aten::gather"),
    "resizing": ("upsample", "avg_pool", "pixel_shuffle", "pixel_unshuffle"),
    "optimiser, average, clipping": ("aten::_foreach", "aten::lerp_", "aten::_fused"),
    "copies and joins": ("aten::copy_", "aten::cat", "aten::fill_", "aten::zero_"),
    "activations": ("leaky_relu", "aten::threshold", "aten::relu", "aten::clamp_min"),
}
"""Kind -> parts of the names of its operations; the rest is counted as "all else"."""


def main() -> None:
    params = load_params(Path("params.yaml"))
    grid = random_grid(params)
    convolution, matrix = best_convolution(), best_matrix()
    print(f"{params.data.size} px, {torch.get_num_threads()} threads; GFLOP a processor second")
    print(f"best convolution rate {convolution / 1e9:8.1f}")
    print(f"best matrix rate      {matrix / 1e9:8.1f}")
    for title, teach_steps in (("the encoder is trained", 1), ("the decoder is trained", 0)):
        section = params.train.model_copy(update={"steps": 1, "teach_steps": teach_steps})
        print(title)
        show(grid, section, convolution)


def show(grid: Grid, section: TrainParams, convolution: float) -> None:
    """Everything of the only step of `section`."""
    print(f"{'images':>8}{'GFLOP':>8}{'seconds':>9}{'images/s':>10}{'of the best convolution':>25}"
          f"{'data / step':>13}")  # fmt: skip
    for scale in (0.5, 1, 2):
        sizes = {
            name: max(1, int(getattr(section, name) * scale))
            for name in ("batch_grids", "batch_pairs")
        }
        scaled = section.model_copy(update=sizes)
        print(batch_line(fresh(scaled, grid), grid, scaled, convolution), flush=True)
    state = fresh(section, grid)
    for title, shares in (
        ("parts of a step", parts(state, grid, section)),
        ("operations, by the profiler", operations(state, grid, section)),
    ):
        print(title)
        for name, share in sorted(shares.items(), key=lambda item: -item[1]):
            print(f"  {name:34}{share:7.1%}")


def fresh(section: TrainParams, grid: Grid) -> TrainState:
    """A state as its step finds it: what stands still is frozen."""
    state = init_state(section, ModelConfig.from_params(section, [grid]), grid)
    begin(only(section), state, [grid], section, ())
    return state


def only(section: TrainParams) -> Phase:
    """The phase of the only step."""
    return next(phase for phase in phases(section) if phase.stop)


def drawn(grid: Grid, section: TrainParams, step: int) -> Batch:
    """What a step sees."""
    return draw_batch(only(section), several(grid, section.batch_grids), (), section, step)


def batch_line(state: TrainState, grid: Grid, section: TrainParams, convolution: float) -> str:
    """What a step of one size of batch costs."""
    batch = drawn(grid, section, 0)
    with FlopCounterMode(display=False) as counter:
        gradients(state, batch, section)
    work = counter.get_total_flops()
    whole = seconds(lambda: whole_step(state, batch, section))
    data = seconds(lambda: drawn(grid, section, 1))
    images = sum(len(one.keys) for one in batch if one is not None)
    return (
        f"{images:8d}{work / 1e9:8.1f}{whole:9.3f}{images / (whole + data):10.1f}"
        f"{work / whole / convolution:25.2f}{data / whole:13.4f}"
    )


def best_convolution() -> float:
    """Floating-point operations a processor second of the best of several 3x3 convolutions."""
    rates = []
    for images, channels, side in CONVOLUTIONS:
        layer = nn.Conv2d(channels, channels, 3, padding=1).requires_grad_(False)
        picture = torch.rand(images, channels, side, side)
        work = 2 * images * channels * channels * 9 * side**2
        rates.append(work / fastest(lambda layer=layer, x=picture: layer(x)))
    return max(rates)


def best_matrix() -> float:
    """The same of products of square matrices."""
    rates = []
    for width in (512, 1024, 2048):
        left = torch.rand(width, width)
        rates.append(2 * width**3 / fastest(lambda m=left: m @ m))
    return max(rates)


def gradients(state: TrainState, batch: Batch, section: TrainParams) -> None:
    weighted(step_losses(state, only(section), batch), section).backward()


def whole_step(state: TrainState, batch: Batch, section: TrainParams) -> None:
    """A step of `training.train`, less drawing and reporting."""
    state.optimizer.zero_grad(set_to_none=True)
    gradients(state, batch, section)
    update(state, section)


def update(state: TrainState, section: TrainParams) -> None:
    trained = [*state.model.parameters(), *state.heads.parameters()]
    nn.utils.clip_grad_norm_(trained, section.clip_norm)
    state.optimizer.step()
    update_ema(state.ema, state.model, section.ema_decay)


def parts(state: TrainState, grid: Grid, section: TrainParams) -> dict[str, float]:
    """Share of each part in a step's processor time."""
    batch = drawn(grid, section, 0)
    gradients(state, batch, section)
    data = seconds(lambda: drawn(grid, section, 1))
    forward = seconds(lambda: step_losses(state, only(section), batch))
    both = seconds(lambda: gradients(state, batch, section))
    rest = seconds(lambda: update(state, section))
    spent = {
        "drawing the batch": data,
        "losses (forward)": forward,
        "gradients (backward)": both - forward,
        "clipping, optimiser, average": rest,
    }
    return {name: one / sum(spent.values()) for name, one in spent.items()}


def operations(state: TrainState, grid: Grid, section: TrainParams) -> dict[str, float]:
    """Share of each kind of operation in the time that the profiler sees."""
    batch = drawn(grid, section, 0)
    whole_step(state, batch, section)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(REPEATS):
            whole_step(state, batch, section)
    events = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    total = sum(events.values())
    shares = dict.fromkeys(KINDS, 0.0) | {"all else": 0.0}
    for name, spent in events.items():
        shares[kind_of(name)] += spent / total
    return shares


def kind_of(operation: str) -> str:
    for kind, parts_of_names in KINDS.items():
        if any(part in operation for part in parts_of_names):
            return kind
    return "all else"


def seconds(work: Callable[[], object]) -> float:
    """Median processor seconds, after a first run that warms up."""
    return statistics.median(_spent(work, REPEATS)[1:])


def fastest(work: Callable[[], object]) -> float:
    return min(_spent(work, ROUNDS)[1:])


def _spent(work: Callable[[], object], times: int) -> list[float]:
    spent = []
    for _ in range(times + 1):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return spent


if __name__ == "__main__":
    main()
