"""Where things lie in a project folder: the one place that spells a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """The folder that holds params.yaml, and every path below it."""

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The dataset, owned by `data.dvc`; only `data` and `import` write here."""
        return self.root / "data"

    @property
    def build(self) -> Path:
        """Everything that a stage makes; safe to delete."""
        return self.root / "build"

    @property
    def data_version(self) -> Path:
        """{"md5": version of data/}: what `dvc.yaml`'s stages depend on."""
        return self.build / "data" / "version.json"

    @property
    def params_in_use(self) -> Path:
        """Every knob, defaults included: which section of it changed says what runs again."""
        return self.build / "data" / "params.yaml"

    @property
    def imports(self) -> Path:
        """Per album: what an import has found out so far, and its report."""
        return self.build / "import"

    @property
    def landmarks(self) -> Path:
        """The landmark reader's results on the dataset's pictures."""
        return self.build / "landmarks"

    @property
    def validation(self) -> Path:
        """The gate's results and its page (`index.html`)."""
        return self.build / "validation"

    @property
    def checkpoints(self) -> Path:
        """Training state to resume from."""
        return self.build / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model: model.safetensors, model.json, train.json."""
        return self.build / "model"

    @property
    def evaluation(self) -> Path:
        """benchmark.json, calibration.json, pairs.png, the dimension report's pictures."""
        return self.build / "evaluation"

    @property
    def benchmark(self) -> Path:
        """Per model: what `facegraft benchmark` found out."""
        return self.build / "benchmark"

    @property
    def benchmark_data(self) -> Path:
        """The benchmark's own characters, rendered on first use."""
        return self.build / "benchmark-data"

    @property
    def promotion(self) -> Path:
        """The last promotion decision: decision.json."""
        return self.build / "promotion"

    @property
    def swaps(self) -> Path:
        """Swap results, a folder each: in single/, or in the folder of a list."""
        return self.build / "swaps"

    @property
    def mlruns(self) -> Path:
        """mlflow.db and artifacts/."""
        return self.root / "mlruns"
