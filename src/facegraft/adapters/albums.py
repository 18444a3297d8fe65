"""Albums: imported pictures, any number per identity, without a rendered truth.

data/albums/<album>.<split>.images.npy   uint8 (N, 1, 3, S, S), mapped into memory
data/albums/<album>.parquet              one row per picture, columns of `TABLE`

The second axis is 1 so that an album's picture is read by shard, row and column as a grid's is.
The manifest's rows of an album are made from its table, which says more. Arrays only ever grow at
their end: a table written before them stays true, so a killed import breaks nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facegraft.adapters import store
from facegraft.adapters.store import MANIFEST, DataError
from facegraft.core.atomic import replacing
from facegraft.data.grids import Person

if TYPE_CHECKING:
    import pandas as pd

TABLE = (
    "key",  # "orl/s1/03": album / identity / picture
    "identity_id",  # "orl/s1"
    "identity",  # as the source spells it
    "split",
    "row",  # in its split's array
    "sha256",  # of the crop's raw bytes, uint8 (3, S, S)
    "size",  # of the crop, pixels
    "subject_kind",
    "licence",
    "consent",
    "landmarks",  # 10: x, y of data.grids.ALIGNMENT_POINTS in the crop
    "found_by",  # "detector" or "given"
    "score",  # the detector's confidence; NaN where the landmarks were given
    "file",  # name of the full picture below the imported folder
    "file_sha256",
    "transform",  # 6: the (2, 3) matrix from the upright full picture to the crop
)

LISTED = ("key", "sha256", "shard", "row")
"""By these columns the manifest and the tables are compared."""

COPIED_AT_ONCE = 1024
"""Pictures held in memory while an array grows."""

MEND = "run `dvc checkout`, or delete the album's files and import it again"


@dataclass(frozen=True)
class Album:
    """The pictures of an album in one split.

    Attributes:
        name: e.g. "orl".
        images: uint8 (N, 3, S, S), RGB in [0, 255]; mapped into memory.
        landmarks: float32 (N, 5, 2), x then y in pixels, order of `data.grids.ALIGNMENT_POINTS`.
        identity_ids, keys, files: one per picture; `files` are named as they lay in the folder.
        transforms: float64 (N, 2, 3), from the upright full picture to the crop; see
            `alignment.Similarity.matrix`.
        subject_kind: one of `store.SUBJECT_KINDS`.
    """

    name: str
    images: np.ndarray
    landmarks: np.ndarray
    identity_ids: tuple[str, ...]
    keys: tuple[str, ...]
    files: tuple[str, ...]
    transforms: np.ndarray
    subject_kind: str

    @property
    def size(self) -> int:
        """Image width and height in pixels."""
        return int(self.images.shape[-1])


def load_albums(data_dir: Path, split: str) -> list[Album]:
    """The albums that have pictures in a split, in order of name; empty if there are none.

    Raises:
        DataError: a table or an array is missing, damaged or of another shape.
    """
    return [
        _album(data_dir, name, split, rows)
        for name in album_names(data_dir)
        if len(rows := _of_split(read_table(data_dir, name), split))
    ]


def load_people(data_dir: Path, split: str, size: int) -> list[Person]:
    """Everyone of a split's albums, in order of album and identity, their pictures mapped.

    Args:
        size: that the pictures must have.

    Raises:
        DataError: as `load_albums`, or an album's pictures are of another size.
    """
    people: dict[str, list[tuple[str, np.ndarray]]] = {}
    for album in load_albums(data_dir, split):
        if album.size != size:
            raise DataError(
                f"{table_path(data_dir, album.name)}: pictures of {album.size} px beside grids of "
                f"{size} px; import the album again with --anew, or set train.batch_people: 0"
            )
        for identity, *picture in zip(album.identity_ids, album.keys, album.images, strict=True):
            people.setdefault(identity, []).append((str(picture[0]), picture[1]))
    return [
        Person(identity, tuple(key for key, _ in pictures), tuple(image for _, image in pictures))
        for identity, pictures in sorted(people.items())
    ]


def album_names(data_dir: Path) -> list[str]:
    """The albums of a dataset, sorted."""
    return sorted(path.stem for path in _folder(data_dir).glob("*.parquet") if path.name[0] != ".")


def read_table(data_dir: Path, name: str) -> pd.DataFrame:
    """An album's table, columns of `TABLE`; without rows where there is no such album.

    Raises:
        DataError: the file is damaged or lacks a column.
    """
    import pandas as pd

    path = table_path(data_dir, name)
    if not path.exists():
        return pd.DataFrame(columns=list(TABLE))
    try:
        frame = pd.read_parquet(path)
        return frame[list(TABLE)]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no Parquet file that can be read; {MEND}") from error
    except KeyError as error:
        raise DataError(f"{path}: lacks a column ({error}); {MEND}") from error


def crops(data_dir: Path, name: str, keys: Sequence[str]) -> list[np.ndarray]:
    """Pictures of an album by their keys, uint8 (3, S, S); each array is opened once.

    Raises:
        DataError: a table or an array is missing, damaged or of another shape.
    """
    found = {
        key: image
        for split in store.SPLITS
        for album in load_albums(data_dir, split)
        if album.name == name
        for key, image in zip(album.keys, album.images, strict=True)
    }
    return [np.array(found[key]) for key in keys]


def extend(data_dir: Path, name: str, added: pd.DataFrame, crops: Iterable[np.ndarray]) -> None:
    """Add pictures at the album's end, and to the manifest; each file is replaced as a whole.

    Args:
        added: columns of `TABLE` without "row", which is set here.
        crops: one uint8 (3, S, S) per row, in order.

    Raises:
        DataError: an array of the album is damaged.
    """
    import pandas as pd

    held = read_table(data_dir, name)
    counts = held["split"].value_counts()
    added = added.copy()
    added["row"] = added.groupby("split").cumcount() + added["split"].map(counts).fillna(0)
    added = added.astype({"row": "int32", "size": "int32"})
    with ExitStack() as open_files:
        arrays = {
            split: open_files.enter_context(
                _grown(data_dir, name, str(split), int(counts.get(split, 0)), rows)
            )
            for split, rows in added.groupby("split")
        }
        for split, row, crop in zip(added["split"], added["row"], crops, strict=True):
            arrays[split][row, 0] = crop
    parts = [part for part in (held, added[list(TABLE)]) if len(part)]
    with replacing(table_path(data_dir, name)) as temporary:
        pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)
    refresh_manifest(data_dir)


def refresh_manifest(data_dir: Path) -> bool:
    """Make the manifest list what the albums' tables hold, beside the grids; whether it did not.

    Raises:
        DataError: the manifest or a table cannot be read.
    """
    import pandas as pd

    tables = [_manifest_rows(name, read_table(data_dir, name)) for name in album_names(data_dir)]
    wanted = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=LISTED)
    listed = store.read_manifest(data_dir, LISTED)
    listed = listed[is_album(listed)]
    if listed.to_numpy().tolist() == wanted[list(LISTED)].to_numpy().tolist():
        return False
    manifest = store.read_manifest(data_dir)
    parts = [part for part in (manifest[~is_album(manifest)], wanted) if len(part)]
    store.write_manifest(data_dir, pd.concat(parts, ignore_index=True))
    return True


def remove(data_dir: Path, name: str) -> None:
    """Take an album out of the dataset; the manifest first, so that it never names what is gone."""
    manifest = store.read_manifest(data_dir)
    kept = ~manifest["shard"].str.startswith(f"albums/{name}.", na=False)
    table_path(data_dir, name).unlink(missing_ok=True)
    if not kept.all():
        store.write_manifest(data_dir, manifest[kept])
    for split in store.SPLITS:
        (data_dir / shard_name(name, split)).unlink(missing_ok=True)


def carry_over(data_dir: Path, other: Path) -> None:
    """Put the albums of `data_dir` into another dataset folder, and into its manifest."""
    copy_folder(data_dir, other)
    if album_names(other):
        refresh_manifest(other)


def copy_folder(data_dir: Path, other: Path) -> None:
    """Put the albums' files into another folder, which need not hold a dataset."""
    shutil.rmtree(_folder(other), ignore_errors=True)
    if album_names(data_dir):
        shutil.copytree(_folder(data_dir), _folder(other), ignore=shutil.ignore_patterns(".*"))


def remove_leftovers(data_dir: Path) -> None:
    """Delete the temporary files of a killed import; call it only where nobody else writes."""
    for path in (*_folder(data_dir).glob(".*.*"), *data_dir.glob(".manifest.*.parquet")):
        path.unlink(missing_ok=True)


def shard_name(name: str, split: str) -> str:
    return f"albums/{name}.{split}.images.npy"


def table_path(data_dir: Path, name: str) -> Path:
    return _folder(data_dir) / f"{name}.parquet"


def _folder(data_dir: Path) -> Path:
    return data_dir / "albums"


def is_album(manifest: pd.DataFrame) -> pd.Series:
    """Which rows of a manifest are imported pictures: bool, by its column "shard"."""
    return manifest["shard"].str.startswith("albums/", na=False)


def _of_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[table["split"] == split].sort_values("row")


def _album(data_dir: Path, name: str, split: str, rows: pd.DataFrame) -> Album:
    size = int(rows["size"].iloc[0])
    return Album(
        name=name,
        images=_pictures(data_dir, name, split, len(rows), size)[:, 0],
        landmarks=_stacked(rows["landmarks"]).astype(np.float32).reshape(-1, 5, 2),
        identity_ids=tuple(rows["identity_id"]),
        keys=tuple(rows["key"]),
        files=tuple(rows["file"]),
        transforms=_stacked(rows["transform"]).astype(np.float64).reshape(-1, 2, 3),
        subject_kind=str(rows["subject_kind"].iloc[0]),
    )


def _pictures(data_dir: Path, name: str, split: str, count: int, size: int) -> np.ndarray:
    """The first `count` pictures of a split; a killed import may have left more at the end."""
    path = data_dir / shard_name(name, split)
    images = store.open_shard(path)
    if images.shape[1:] != (1, 3, size, size) or len(images) < count:
        expected = (count, 1, 3, size, size)
        raise DataError(f"{path}: shape {images.shape}, the table says {expected}; {MEND}")
    return images[:count]


def _stacked(column: pd.Series) -> np.ndarray:
    return np.stack([np.asarray(value) for value in column])


@contextmanager
def _grown(
    data_dir: Path, name: str, split: str, count: int, added: pd.DataFrame
) -> Iterator[np.ndarray]:
    """A split's array with its first `count` pictures and room for the added, to be filled."""
    size = int(added["size"].iloc[0])
    with replacing(data_dir / shard_name(name, split)) as temporary:
        shape = (count + len(added), 1, 3, size, size)
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        held = _pictures(data_dir, name, split, count, size) if count else ()
        for start in range(0, count, COPIED_AT_ONCE):
            stop = min(start + COPIED_AT_ONCE, count)
            array[start:stop] = held[start:stop]
        yield array
        array.flush()
        del array


def _manifest_rows(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """An album's part of the manifest: every picture is an attribute set of its own."""
    rows = table.copy()
    rows["shard"] = [shard_name(name, split) for split in rows["split"]]
    rows["grid"], rows["column"], rows["attribute_id"] = name, 0, rows["key"]
    for column in MANIFEST:
        if column not in rows:  # what only a rendered picture has: codes, mixes
            rows[column] = None
    return rows[list(MANIFEST)]
