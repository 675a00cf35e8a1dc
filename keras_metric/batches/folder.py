"""A folder of images, one sub-folder a class, read only when a batch asks for them."""

from pathlib import Path

import numpy as np

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = {"rgb": "RGB", "grayscale": "L"}


class FolderImages:
    """The images of `folder/CLASS/.../image.png` as a sequence that reads from disk.

        source = FolderImages("birds", image_size=(96, 96))
        batches = PKBatches(source, source.labels, classes_per_batch=8, images_per_class=4)

    `source[rows]` reads the images of an array of row numbers, float32 `(len(rows), H, W, C)`
    from 0 to 255, resized without keeping the aspect ratio (bilinear). Only paths are held in
    memory. Files are sorted by name within their class, so row numbers are the same everywhere.

    Args:
        folder: the folder with one sub-folder a class; hidden files and folders are left out.
        image_size: (H, W) in pixels.
        color: "rgb" (C = 3) or "grayscale" (C = 1).

    Attributes:
        paths: list of `Path`, one an image.
        labels: int64 `(N,)`, the class's place in `class_names`.
        class_names: sorted names of the sub-folders that hold an image.

    Raises:
        ValueError: no image found, or an unknown color.
        ImportError: Pillow is missing.
    """

    def __init__(self, folder: str | Path, *, image_size: tuple[int, int], color: str = "rgb"):
        if color not in MODES:
            raise ValueError(
                f"Unknown color. Expected one of: {', '.join(MODES)}. Received: {color!r}."
            )
        self.folder, self.image_size, self.color = Path(folder), tuple(image_size), color
        members = {
            entry.name: images
            for entry in sorted(self.folder.glob("*/"))
            if not entry.name.startswith(".") and (images := _images(entry))
        }
        if not members:
            raise ValueError(
                "There are no images to read. "
                f"Expected image files in one sub-folder a class. Received: {self.folder}."
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
            return self._read(self.paths[rows])
        if not rows.size:
            return np.empty((0, *self.image_size, len(MODES[self.color])), np.float32)
        return np.stack([self._read(self.paths[row]) for row in rows])

    def _read(self, path: Path) -> np.ndarray:
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError(
                "Reading images needs Pillow. Expected it to be installed: "
                'pip install "keras-metric[plots]". Received: no module PIL.'
            ) from error
        height, width = self.image_size
        with Image.open(path) as image:
            image = image.convert(MODES[self.color])
            resized = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized, np.float32).reshape(height, width, -1)


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
