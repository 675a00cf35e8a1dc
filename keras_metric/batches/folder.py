"""A folder of images, one sub-folder per class, read only when a batch needs them."""

from pathlib import Path

import numpy as np

from keras_metric import image_files
from keras_metric.preprocessing import Preprocessing


class FolderImages:
    """The images of `folder/CLASS/.../image.png` as a sequence that reads from disk.

        source = FolderImages("birds", image_size=(96, 96))
        batches = PKBatches(source, source.labels, classes_per_batch=8, images_per_class=4)

    `source[rows]` reads the images of an array of row numbers, float32 `(len(rows), H, W, C)`
    from 0 to 255, resized without keeping the aspect ratio (bilinear) and rotated upright by their
    EXIF data; or as `preprocessing` says, so that the model is trained on what it will get later.
    Only paths are kept in memory. Files are sorted by name within their class, so row numbers are
    the same everywhere.

    Args:
        folder: the folder with one sub-folder per class; hidden files and folders are skipped.
        image_size: (H, W) in pixels.
        color: "rgb" (C = 3) or "grayscale" (C = 1).
        preprocessing: a `keras_metric.Preprocessing` with a size, instead of `image_size` and
            `color`; values are then in its `pixel_range`.
        verify: decode every file once now, and skip those that cannot be read; by default a damaged
            file raises an error when its batch is drawn.

    Attributes:
        paths: list of `Path`, one per image.
        labels: int64 `(N,)`, the index of the class in `class_names`.
        class_names: sorted names of the sub-folders that contain an image.
        skipped: pairs of a file and the reason why it was skipped: hidden, not an image by its
            name, and with `verify` damaged.

    Raises:
        ValueError: no image was found, the color is unknown, or there is no size; when rows are
            read, a damaged file.
        ImportError: Pillow is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        image_size: tuple[int, int] | None = None,
        color: str = "rgb",
        preprocessing: Preprocessing | None = None,
        verify: bool = False,
    ):
        if (image_size is None) == (preprocessing is None):
            raise ValueError(
                "The size of the images is not clear. Expected: image_size, or a preprocessing. "
                f"Received: {'neither' if image_size is None else 'both'}."
            )
        self.preprocessing = preprocessing or Preprocessing(tuple(image_size), color=color)
        if self.preprocessing.size is None:
            raise ValueError(
                "Images of their own sizes make no batch. Expected: a preprocessing with a size. "
                f"Received: {preprocessing}."
            )
        self.folder = Path(folder)
        self.image_size, self.color = self.preprocessing.size, self.preprocessing.color
        members, self.skipped = {}, []
        for entry in sorted(self.folder.glob("*/")):
            if not entry.name.startswith("."):
                images, skipped = _members(entry, verify)
                self.skipped += skipped
                if images:
                    members[entry.name] = images
        if not members:
            raise ValueError(
                "There are no images to read. "
                f"Expected: image files in one sub-folder a class. Received: {self.folder}."
            )
        self.class_names = list(members)
        self.paths = [path for images in members.values() for path in images]
        sizes = [len(images) for images in members.values()]
        self.labels = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows) -> np.ndarray:
        rows = np.asarray(rows)
        if rows.ndim == 0:
            return self.preprocessing(self.paths[rows])
        if not rows.size:
            return np.empty((0, *self.preprocessing.shape), np.float32)
        return np.stack([self.preprocessing(self.paths[row]) for row in rows])


def _members(folder: Path, verify: bool) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The pictures of a class, and what is below its folder besides, with the reason."""
    paths, skipped = [], []
    for path, reason in image_files.below(folder):
        if reason is None and verify:
            reason = _broken(path)
        if reason is None:
            paths.append(path)
        else:
            skipped.append((path, reason))
    return sorted(paths), skipped


def _broken(path: Path) -> str | None:
    try:
        image_files.read(path, None)
    except ValueError as error:
        return str(error)
    return None
