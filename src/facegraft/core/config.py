"""params.yaml as frozen models: the only knobs, checked before anything runs.

`load_params` is the one entry. Every model refuses unknown keys (`extra="forbid"`), so a
misspelt knob is an error that names the file, the key and the mend, never a silent default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facegraft.core.errors import FacegraftError

KEEPERS = ("expression", "points", "texture")
"""Attribute groups of which the first latent holds what the target keeps."""

NUM_LATENTS = 18
"""One latent per dimension, 0 to 17 (patent CN112991152A [0108])."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class ParamsError(FacegraftError):
    """params.yaml cannot be used; the message names the file, the key and the mend."""


class Section(BaseModel):
    """A frozen section of params.yaml that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GridCounts(Section):
    """Grids per split; identities and attribute sets are never shared between splits."""

    train: Count
    validation: Count
    test: Count


class RenderParams(Section):
    """Rendered grids of identities x attribute sets."""

    seed: int = Field(ge=0, description="draws every identity and attribute set")
    size: Literal[32, 64, 128, 256] = Field(description="pixels, width = height")
    supersample: Annotated[int, Field(ge=1, le=4)] = Field(description="anti-aliasing factor")
    identities: Annotated[int, Field(ge=2)] = Field(description="identities in one grid")
    attributes: Annotated[int, Field(ge=2)] = Field(description="attribute sets in one grid")
    mixes: int = Field(ge=0, description="of the identities: one with a region of another's")
    licence: str = Field(min_length=1, description="SPDX id written to the manifest")

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
    """The rendered default dataset."""

    grids: GridCounts

    @property
    def splits(self) -> dict[str, int]:
        return self.grids.model_dump()


class BenchmarkGrids(RenderParams):
    """Rendered grids of the benchmark's own split."""

    grids: Count

    @property
    def splits(self) -> dict[str, int]:
        return {"benchmark": self.grids}


class SplitFractions(Section):
    """Shares of an album's identities per split; an identity never lies in two."""

    train: Fraction
    validation: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _are_a_whole(self) -> SplitFractions:
        if abs(self.train + self.validation + self.test - 1.0) > 1e-6:
            raise ValueError("train, validation and test add up to 1")
        return self


class ImportParams(Section):
    """How pictures from outside become an album."""

    splits: SplitFractions
    min_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="confidence from which a detected face counts"
    )
    max_enlargement: Positive = Field(
        description="a face that the crop would enlarge more than this is refused"
    )
    max_landmark_misfit: Fraction = Field(
        description="how far given landmarks may lie from a face's, over the crop's side (RMS)"
    )


class ValidateParams(Section):
    """Bounds of the data gate."""

    min_attributes_per_identity: Count
    min_face_fraction: Fraction = Field(description="detected face height over image height")
    min_face_detected: Fraction = Field(description="share of images with a detected face")
    min_pixel_std: Annotated[float, Field(ge=0, le=128)] = Field(description="8-bit levels")
    max_landmark_outside: Fraction = Field(
        description="how far a landmark may lie outside the picture, over its side"
    )
    min_hash_distance: Annotated[int, Field(ge=0, le=257)] = Field(
        description="bits of 256 by which a picture must differ from all of other splits"
    )
    min_sharpness: float = Field(
        ge=0, description="deviation of the Laplacian over that of the grey levels"
    )
    min_brightness: Annotated[float, Field(ge=0, le=255)] = Field(
        description="mean grey level of the middle of the picture, 8-bit levels"
    )
    max_brightness: Annotated[float, Field(ge=0, le=255)] = Field(description="likewise")
    max_clipped: Fraction = Field(description="share of the middle's pixels at black or white")
    max_poor_share: Fraction = Field(
        description="share of images that may be blurred, and that may be badly exposed"
    )
    max_identity_imbalance: Annotated[float, Field(ge=1)] = Field(
        description="images of one identity over the median of its album or subject kind"
    )
    min_kind_share: Fraction = Field(description="of the images, for each subject kind present")
    min_split_share: Fraction = Field(description="of the images, for each split present")
    min_yaw_reach: Annotated[float, Field(ge=0, le=90)] = Field(
        description="degrees from which a head counts as turned to the left or right"
    )
    min_pitch_reach: Annotated[float, Field(ge=0, le=90)] = Field(
        description="likewise up and down"
    )
    min_pose_share: Fraction = Field(description="share of the images for each of the four turns")
    identity_sample: Annotated[int, Field(ge=2)] = Field(
        description="identities that the independent recogniser looks at"
    )
    identity_images: Annotated[int, Field(ge=2)] = Field(description="images of each of them")
    identity_seed: int = Field(ge=0, description="draws the sample")
    min_identity_margin: Annotated[float, Field(ge=-2, le=2)] = Field(
        description="mean similarity of an identity's images to each other, above that to others'"
    )
    min_identities_agree: Fraction = Field(description="share of identities with that margin")


class DriftParams(Section):
    """How far the data may move from what the champion was trained on."""

    max_index: Positive = Field(description="population stability index per statistic")
    accept: tuple[str, ...] = Field(
        description="data versions (as DVC names them) whose drift was looked at and is meant"
    )


class LossWeights(Section):
    """Weight of each loss in the training total; the keys are the losses' names everywhere."""

    identity_loss: float = Field(ge=0)
    attribute_loss: float = Field(ge=0)
    mse_loss: float = Field(ge=0)
    perceptual_loss: float = Field(ge=0)
    swap_loss: float = Field(ge=0)
    feature_loss: float = Field(ge=0)
    identity_teacher_loss: float = Field(ge=0)
    attribute_teacher_loss: float = Field(ge=0)
    contrast_loss: float = Field(ge=0)
    consistency_loss: float = Field(ge=0)


class LossThresholds(Section):
    """The patent's four training thresholds [0138]; a loss equal to its threshold fails."""

    identity_loss: Positive
    attribute_loss: Positive
    mse_loss: Positive
    perceptual_loss: Positive


class TrainParams(Section):
    """Encoder and decoder, their losses, the budget."""

    seed: int = Field(ge=0)
    init: str = Field(description="'base' (the shipped weights), 'scratch', or a folder of a model")
    vector_only: bool = Field(description="18 plain vectors, the literal embodiment")
    latent_dim: Count = Field(description="length of one latent vector")
    channels: Annotated[int, Field(ge=4, le=256)] = Field(description="encoder width at 32 px")
    identity: dict[str, tuple[int, ...]] = Field(
        description="identity sub-dimension -> latent indices [0109]"
    )
    attribute: dict[str, tuple[int, ...]] = Field(
        description="attribute group -> latent indices; with identity they cover 0 to 17"
    )
    decoder_channels: Annotated[int, Field(ge=4, le=256)] = Field(
        description="width of the decoder's U-Net at half the picture's side"
    )
    steps: Count = Field(description="budget of optimiser steps")
    teach_steps: int = Field(
        ge=0,
        description="first steps, which teach the encoder and decode nothing; then the exchange of "
        "shapes is fitted and the encoder stays as it is",
    )
    freeze_convolutions: bool = Field(
        description="the encoder's convolutions stay as they are: only what reads them is taught"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        description="where training, evaluation and swaps compute; auto: a GPU where there is one"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description="of the networks in training; auto: bfloat16 on a GPU that has it"
    )
    batch_grids: Count = Field(description="grids that give a block each to the encoder, per step")
    batch_identities: Annotated[int, Field(ge=2)] = Field(description="rows of a block")
    batch_attributes: Annotated[int, Field(ge=2)] = Field(description="columns of a block")
    batch_pairs: Annotated[int, Field(ge=1)] = Field(description="swaps decoded per step")
    batch_regions: int = Field(ge=0, description="of the pairs: one sub-dimension is swapped")
    batch_people: int = Field(
        ge=0, description="imported people per step, two pictures each; 0 for none"
    )
    learning_rate: Positive
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0)
    clip_norm: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    log_every: Count
    evaluate_every: Count
    weights: LossWeights
    thresholds: LossThresholds

    @model_validator(mode="after")
    def _every_latent_has_one_group(self) -> TrainParams:
        groups = (*self.identity.items(), *self.attribute.items())
        if sorted(i for _, indices in groups for i in indices) != list(range(NUM_LATENTS)):
            raise ValueError(
                f"identity and attribute together name each latent 0 to {NUM_LATENTS - 1} once"
            )
        if self.batch_regions > self.batch_pairs:
            raise ValueError("batch_regions are some of batch_pairs, no more")
        if not any(self.identity.values()) or not any(self.attribute.values()):
            raise ValueError("identity and attribute each need at least one latent")
        missing = [group for group in KEEPERS if not self.attribute.get(group)]
        if missing and not self.vector_only:
            raise ValueError(f"attribute lacks {', '.join(missing)}, which keep the target's own")
        return self


class BaseParams(Section):
    """How the shipped weights are made; what is not named here is as in data and train."""

    grids: GridCounts
    init: Literal["scratch", "base"] = Field(
        description="scratch, or base: go on from the weights that are shipped now"
    )
    steps: Count
    teach_steps: int = Field(ge=0)
    freeze_convolutions: bool
    learning_rate: Positive
    warmup_steps: int = Field(ge=0)
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    evaluate_every: Count


class EvaluateParams(Section):
    """The held-out benchmark and the calibration of the swap thresholds."""

    seed: int = Field(ge=0)
    pairs: Count = Field(description="held-out source-target pairs")
    calibration_pairs: Annotated[int, Field(ge=20)]
    same_percentile: Annotated[float, Field(gt=0, lt=100)]
    different_percentile: Annotated[float, Field(gt=0, lt=100)]


class BenchmarkParams(Section):
    """The standing benchmark: its own characters, whatever data/ holds; see `facegraft benchmark`.

    A change here makes another benchmark, whose figures do not compare with the old ones.
    """

    seed: int = Field(ge=0, description="draws characters, pairs and resamples")
    grids: Count = Field(description="grids; every identity of theirs is the source of one pair")
    identities: Annotated[int, Field(ge=2)] = Field(description="identities in one grid")
    attributes: Annotated[int, Field(ge=2)] = Field(description="attribute sets in one grid")
    supersample: Annotated[int, Field(ge=1, le=4)] = Field(description="anti-aliasing factor")
    region_grids: Count = Field(description="further grids for swaps of one sub-dimension")
    region_pairs: Count = Field(description="pairs for each mixed identity of those")
    resamples: Annotated[int, Field(ge=100)] = Field(description="of the pairs, for the intervals")
    probe_grids: Count = Field(description="further grids that teach the attribute probes")
    dimension_pairs: Count = Field(description="pairs whose latents are exchanged one by one")


class PromoteParams(Section):
    """The gate between challenger and champion; metric keys are those of the benchmark."""

    metric: str = Field(min_length=1, description="higher is better")
    min_difference: float = Field(
        description="the 95 % interval of the difference, challenger less champion over the pairs, "
        "lies above it; 0: better beyond chance, negative: not worse by more than that"
    )
    min_values: dict[str, float] = Field(description="metric -> strict lower bound")
    max_values: dict[str, float] = Field(description="metric -> strict upper bound")


class SwapParams(Section):
    """Per-pair fine-tuning and saving."""

    budget_steps: Annotated[int, Field(ge=0)] = Field(description="fine-tuning steps per pair")
    learning_rate: Positive
    check_every: Count = Field(description="steps between verdicts")
    anchor_weight: float = Field(ge=0, description="pull towards the first decoded image")
    detail: Fraction = Field(description="share of the source's detail that is shown; 1: all")
    shape: Fraction = Field(description="share of the source's shape that is taken; 1: all")
    seed: int = Field(ge=0)


class Params(Section):
    """All of params.yaml."""

    data: DataParams
    import_: ImportParams = Field(alias="import")
    validate_: ValidateParams = Field(alias="validate")
    drift: DriftParams
    train: TrainParams
    base: BaseParams
    evaluate: EvaluateParams
    benchmark: BenchmarkParams
    promote: PromoteParams
    swap: SwapParams


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing, no UTF-8, no YAML mapping, or holds a key or value that
            the models refuse; one line per fault, each with its key.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: not found; run from the project folder") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'document'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ParamsError(f"{path}: {faults}") from error
