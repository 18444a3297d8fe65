"""Every knob with its default, bounds and meaning: params.yaml as frozen models.

params.yaml holds what differs from the defaults here (`params_file.load_params` reads it);
`facegraft params` prints all. Every model refuses unknown keys (`extra="forbid"`), so a misspelt
knob is an error that names the file, the key and the mend, never a silent default.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Size = Literal[32, 64, 128, 256]
"""Pixels of a crop's side that the networks take."""


class Section(BaseModel):
    """A frozen section of params.yaml that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GridCounts(Section):
    """Grids per split; identities and attribute sets are never shared between splits."""

    train: Count = Field(default=56, description="grids to train on")
    validation: Count = Field(default=4, description="grids that training is watched on")
    test: Count = Field(default=8, description="grids for benchmark and calibration")


class BaseGridCounts(GridCounts):
    """The same for the base weights."""

    train: Count = Field(default=240, description="grids to train on")
    validation: Count = Field(default=6, description="grids that training is watched on")


class RenderParams(Section):
    """Rendered grids of identities x attribute sets."""

    seed: Natural = Field(default=7, description="draws every identity and attribute set")
    size: Size = Field(default=128, description="pixels, width = height")
    supersample: Annotated[int, Field(ge=1, le=4)] = Field(
        default=2, description="rendered at size x supersample, then area-averaged"
    )
    identities: Annotated[int, Field(ge=2)] = Field(
        default=16, description="identities in one grid"
    )
    attributes: Annotated[int, Field(ge=2)] = Field(
        default=8, description="attribute sets in one grid"
    )
    mixes: Natural = Field(
        default=4, description="of the identities: one with a region of another's"
    )
    licence: Annotated[str, Field(min_length=1)] = Field(
        default="CC0-1.0", description="SPDX id written to the manifest"
    )

    @property
    def splits(self) -> dict[str, int]:
        """Split -> its grids."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _two_are_left_to_mix(self) -> Self:
        if self.identities - self.mixes < 2:
            raise ValueError("mixes must leave at least 2 identities of their own")
        return self


class DataParams(RenderParams):
    """The rendered default dataset; `data.dvc` records the version in use."""

    grids: GridCounts = Field(default=GridCounts(), description="grids per split")

    @property
    def splits(self) -> dict[str, int]:
        return self.grids.model_dump()


class BenchmarkGrids(RenderParams):
    """Rendered grids of the benchmark's own split."""

    grids: Count = Field(default=1, description="grids of the one split")

    @property
    def splits(self) -> dict[str, int]:
        return {"benchmark": self.grids}


class SplitFractions(Section):
    """Shares of an album's identities per split; an identity never lies in two."""

    train: Fraction = Field(default=0.8, description="share that is trained on")
    validation: Fraction = Field(default=0.1, description="share that training is watched on")
    test: Fraction = Field(default=0.1, description="share that is kept for measuring")

    @model_validator(mode="after")
    def _are_a_whole(self) -> SplitFractions:
        if abs(self.train + self.validation + self.test - 1.0) > 1e-6:
            raise ValueError("train, validation and test add up to 1")
        return self


class ImportParams(Section):
    """How pictures from outside become an album."""

    splits: SplitFractions = Field(
        default=SplitFractions(), description="of the identities, by a hash of their ids"
    )
    min_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.6, description="confidence from which a detected face counts"
    )
    max_enlargement: Positive = Field(
        default=4.0, description="a face that the crop would enlarge more than this is refused"
    )
    max_landmark_misfit: Fraction = Field(
        default=0.12,
        description="given landmarks: RMS distance from a face's, over the crop's side",
    )


class ValidateParams(Section):
    """Bounds of the data gate; a breach stops the road."""

    min_attributes_per_identity: Count = Field(default=2, description="pictures of one identity")
    min_face_fraction: Fraction = Field(
        default=0.25, description="detected face height over image height"
    )
    min_face_detected: Fraction = Field(
        default=0.99, description="share of images with a detected face"
    )
    min_pixel_std: Annotated[float, Field(ge=0, le=128)] = Field(
        default=8.0, description="below it an image counts as blank, 8-bit levels"
    )
    max_landmark_outside: Fraction = Field(
        default=0.1, description="how far a landmark may lie outside the picture, over its side"
    )
    min_hash_distance: Annotated[int, Field(ge=0, le=257)] = Field(
        default=28,
        description="bits of 256 between pictures of two splits; a JPEG copy differs by < 23",
    )
    min_sharpness: NotNegative = Field(
        default=0.15, description="deviation of the Laplacian over that of the grey levels"
    )
    min_brightness: Annotated[float, Field(ge=0, le=255)] = Field(
        default=25.0, description="mean grey level of the middle of the picture, 8-bit levels"
    )
    max_brightness: Annotated[float, Field(ge=0, le=255)] = Field(
        default=235.0, description="likewise"
    )
    max_clipped: Fraction = Field(
        default=0.2, description="share of the middle's pixels at black or white"
    )
    max_poor_share: Fraction = Field(
        default=0.01,
        description="share of images that may be blurred, and that may be badly exposed",
    )
    max_identity_imbalance: Annotated[float, Field(ge=1)] = Field(
        default=4.0,
        description="images of one identity over the median of its album or subject kind",
    )
    min_kind_share: Fraction = Field(
        default=0.001, description="of the images, for each subject kind present"
    )
    min_split_share: Fraction = Field(
        default=0.02, description="of the images, for each split present"
    )
    min_yaw_reach: Annotated[float, Field(ge=0, le=90)] = Field(
        default=10.0, description="degrees from which a head counts as turned to the left or right"
    )
    min_pitch_reach: Annotated[float, Field(ge=0, le=90)] = Field(
        default=3.0, description="likewise up and down"
    )
    min_pose_share: Fraction = Field(
        default=0.05, description="share of the images for each of the four turns"
    )
    identity_sample: Annotated[int, Field(ge=2)] = Field(
        default=48, description="identities that the independent recogniser looks at"
    )
    identity_images: Annotated[int, Field(ge=2)] = Field(
        default=6, description="images of each of them"
    )
    identity_seed: Natural = Field(default=5, description="draws the sample")
    min_identity_margin: Annotated[float, Field(ge=-2, le=2)] = Field(
        default=0.1,
        description="mean similarity of an identity's images to each other, above to others'",
    )
    min_identities_agree: Fraction = Field(
        default=0.9, description="share of identities with that margin"
    )


class DriftParams(Section):
    """How far the data may move from what the champion was trained on."""

    max_index: Positive = Field(
        default=0.25, description="population stability index per statistic"
    )


class LossWeights(Section):
    """Weight of the patent's four losses [0138]; those of our guards are training.loop.WEIGHTS."""

    identity_loss: NotNegative = Field(default=0.02, description="z_id of the swap to the source's")
    attribute_loss: NotNegative = Field(
        default=0.01, description="z_att of the swap to the target's"
    )
    mse_loss: NotNegative = Field(default=1.0, description="pixels of a target's reconstruction")
    perceptual_loss: NotNegative = Field(
        default=0.1, description="latents of a target's reconstruction"
    )


_STOPS = "of the held-out loss: training stops early when all four are below"


class LossThresholds(Section):
    """The patent's four training thresholds [0138]; a loss equal to its threshold fails."""

    identity_loss: Positive = Field(default=0.10, description=_STOPS)
    attribute_loss: Positive = Field(default=8.0, description=_STOPS)
    mse_loss: Positive = Field(default=0.004, description=_STOPS)
    perceptual_loss: Positive = Field(default=0.05, description=_STOPS)


TEACHING = (
    "init scratch with teach_steps 0 leaves the encoder as it was drawn, so it reads nothing; set "
    "teach_steps (base has 1500), or init: base"
)


class TrainParams(Section):
    """Encoder and decoder, their losses, the budget."""

    seed: Natural = Field(default=7, description="draws weights and batches")
    init: str = Field(
        default="base", description="base (the shipped weights), scratch, or a folder of a model"
    )
    vector_only: bool = Field(default=False, description="18 plain vectors, the literal embodiment")
    latent_dim: Count = Field(default=32, description="length of one latent vector")
    channels: Annotated[int, Field(ge=4, le=256)] = Field(
        default=32, description="encoder width at 32 px; deeper layers are multiples"
    )
    decoder_channels: Annotated[int, Field(ge=4, le=256)] = Field(
        default=32, description="width of the decoder's U-Net at half the picture's side"
    )
    steps: Count = Field(
        default=150, description="budget of optimiser steps; from scratch take what base takes"
    )
    teach_steps: Natural = Field(
        default=0,
        description="of steps the first, which teach the encoder and decode nothing",
    )
    freeze_convolutions: bool = Field(
        default=True, description="the encoder's convolutions stay: only what reads them is taught"
    )
    batch_grids: Count = Field(
        default=8,
        description="grids that give the encoder a block each, per step of teach_steps",
    )
    batch_identities: Annotated[int, Field(ge=2)] = Field(default=4, description="rows of a block")
    batch_attributes: Annotated[int, Field(ge=2)] = Field(
        default=3, description="columns of a block"
    )
    batch_pairs: Count = Field(default=8, description="swaps decoded per step thereafter")
    batch_regions: Natural = Field(
        default=2, description="of the pairs: only one sub-dimension is swapped"
    )
    batch_people: Natural = Field(
        default=2, description="imported people per step, two pictures each; 0 for none"
    )
    learning_rate: Positive = Field(default=0.0003, description="of AdamW, at its peak")
    warmup_steps: Natural = Field(
        default=20, description="steps up to it; then it falls along a cosine"
    )
    weight_decay: NotNegative = Field(default=0.0001, description="of AdamW")
    clip_norm: Positive = Field(default=1.0, description="norm to which gradients are cut")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.995, description="per step, of the averaged weights that are kept"
    )
    log_every: Count = Field(default=10, description="steps between losses in MLflow")
    evaluate_every: Count = Field(
        default=100, description="steps between sample sheet, thresholds and checkpoint"
    )
    weights: LossWeights = Field(
        default=LossWeights(), description="of the patent's losses in the total"
    )
    thresholds: LossThresholds = Field(
        default=LossThresholds(), description="training stops early when all four are below"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TrainParams:
        if self.batch_regions > self.batch_pairs:
            raise ValueError("batch_regions are some of batch_pairs, no more")
        if self.init == "scratch" and not self.teach_steps and not self.vector_only:
            raise ValueError(f"{TEACHING}, or vector_only: true")
        return self


class BaseParams(Section):
    """`make base`: how the shipped weights are made; what is not here is as in data and train."""

    grids: BaseGridCounts = Field(default=BaseGridCounts(), description="grids per split")
    init: Literal["scratch", "base"] = Field(
        default="base",
        description="base: the shipped convolutions are kept; scratch: taught anew (hours)",
    )
    steps: Count = Field(default=3000, description="as in train")
    teach_steps: Natural = Field(default=1500, description="as in train")
    freeze_convolutions: bool = Field(default=True, description="as in train")
    learning_rate: Positive = Field(default=0.002, description="as in train")
    warmup_steps: Natural = Field(default=100, description="as in train")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.998, description="as in train")
    evaluate_every: Count = Field(default=300, description="as in train")

    @model_validator(mode="after")
    def _is_taught(self) -> BaseParams:
        if self.init == "scratch" and not self.teach_steps:
            raise ValueError(TEACHING)
        return self


class EvaluateParams(Section):
    """The held-out benchmark and the calibration of the swap thresholds."""

    seed: Natural = Field(default=11, description="draws the pairs")
    pairs: Count = Field(default=256, description="held-out source-target pairs")
    calibration_pairs: Annotated[int, Field(ge=20)] = Field(
        default=2000, description="held-out same-person and different-person pairs"
    )
    same_percentile: Annotated[float, Field(gt=0, lt=100)] = Field(
        default=95.0, description="a swap passes if as close as this share of true same pairs, %"
    )
    different_percentile: Annotated[float, Field(gt=0, lt=100)] = Field(
        default=5.0,
        description="no swap runs unless that lies below this percentile of different pairs",
    )


class BenchmarkParams(Section):
    """The standing benchmark: its own characters, whatever data/ holds; see `facegraft benchmark`.

    A change here makes another benchmark, whose figures do not compare with the old ones.
    """

    seed: Natural = Field(default=2026, description="draws characters, pairs and resamples")
    grids: Count = Field(
        default=125, description="grids; every identity of theirs is the source of one pair"
    )
    identities: Annotated[int, Field(ge=2)] = Field(default=8, description="identities in one grid")
    attributes: Annotated[int, Field(ge=2)] = Field(
        default=4, description="attribute sets in one grid"
    )
    supersample: Annotated[int, Field(ge=1, le=4)] = Field(
        default=2, description="anti-aliasing factor"
    )
    region_grids: Count = Field(
        default=20, description="further grids for swaps of one sub-dimension"
    )
    region_pairs: Count = Field(default=3, description="pairs for each mixed identity of those")
    resamples: Annotated[int, Field(ge=100)] = Field(
        default=2000, description="of the pairs, for the 95 % intervals"
    )
    probe_grids: Count = Field(
        default=1000,
        description="further grids of 2 x 4 small faces that teach the attribute probes",
    )
    dimension_pairs: Count = Field(
        default=32, description="pairs whose latents are exchanged one by one"
    )


class PromoteParams(Section):
    """The gate between challenger and champion on the same pairs; every rule must hold."""

    metric: Annotated[str, Field(min_length=1)] = Field(
        default="model/psnr_changed", description="key of the benchmark; higher is better"
    )
    min_difference: float = Field(
        default=-0.05,
        description="the 95 % interval of the difference, challenger less champion over the pairs, "
        "lies above it; 0: better beyond chance, negative: not worse by more than that",
    )
    min_values: dict[str, float] = Field(
        default={"model/psnr_changed_gain": 0.0, "model/judge_detected": 0.9},
        description="metric -> strict lower bound, all of them; a copied target gains 0 dB",
    )
    max_values: dict[str, float] = Field(default={}, description="metric -> strict upper bound")


class SwapParams(Section):
    """Per-pair fine-tuning and saving."""

    budget_steps: Natural = Field(
        default=60, description="fine-tuning steps per pair; exhausted: a recorded FAIL"
    )
    learning_rate: Positive = Field(default=0.00005, description="of the fine-tuning")
    check_every: Count = Field(
        default=1, description="steps between verdicts; the first that passes ends it"
    )
    anchor_weight: NotNegative = Field(
        default=1.0, description="pull towards the first decoded image"
    )
    detail: Fraction = Field(
        default=1.0, description="share of the source's detail that is shown; 1: all"
    )
    shape: Fraction = Field(
        default=1.0, description="share of the source's shape that is taken; 1: all"
    )
    seed: Natural = Field(default=3, description="draws what the fine-tuning draws")


class RuntimeParams(Section):
    """Where everything that computes does so: training, evaluation, swaps, benchmark, reading."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU where there is one"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of the networks in training; auto: bfloat16 on a GPU that has it",
    )
    threads: Natural = Field(
        default=0, description="threads and worker processes; 0: every usable core"
    )


class Params(Section):
    """All knobs; a section or key that params.yaml does not name has its default."""

    data: DataParams = Field(default=DataParams(), description="the rendered default dataset")
    import_: ImportParams = Field(
        default=ImportParams(), alias="import", description="pictures from outside"
    )
    validate_: ValidateParams = Field(
        default=ValidateParams(), alias="validate", description="the data gate"
    )
    drift: DriftParams = Field(default=DriftParams(), description="the data against the champion's")
    train: TrainParams = Field(default=TrainParams(), description="encoder and decoder")
    base: BaseParams = Field(default=BaseParams(), description="how the shipped weights are made")
    evaluate: EvaluateParams = Field(
        default=EvaluateParams(), description="benchmark and calibration"
    )
    benchmark: BenchmarkParams = Field(
        default=BenchmarkParams(), description="the standing benchmark"
    )
    promote: PromoteParams = Field(
        default=PromoteParams(), description="challenger against champion"
    )
    swap: SwapParams = Field(default=SwapParams(), description="fine-tuning per pair")
    runtime: RuntimeParams = Field(
        default=RuntimeParams(), description="device, precision, threads"
    )


SECTIONS = tuple(field.alias or name for name, field in Params.model_fields.items())
