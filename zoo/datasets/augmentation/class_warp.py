"""New classes from old ones: in a batch, all images of a class are distorted alike.

A hand writes a character a little differently each time; that is `Warp`, drawn for each image. A
distortion that all images of a class share makes another character of it, and a network that tells
classes apart sees more of them than were drawn.
"""

from dataclasses import dataclass

import numpy as np

from zoo.datasets.augmentation import whole_classes
from zoo.datasets.augmentation.warp import Warp, read, sides_of


@dataclass(frozen=True)
class ClassWarp:
    """A warp for each image and, for a share of the classes, one more that its images share.

        old = new + d_image(new) + d_class(new)

    where d is the displacement of a `Warp`. It takes the place of a `Warp` in batches of P classes
    x K images, one class after another; images are read once.

    - `each`: the warp of an image; its `fill` counts.
    - `alike`: the warp of a class.
    - `share`: the probability, 0 to 1, that a class of a batch is warped.
    - `images_per_class`: K.

    Raises `ValueError` for a share out of range, a batch that is not whole classes, or no images.
    """

    each: Warp
    alike: Warp
    share: float
    images_per_class: int

    def __post_init__(self) -> None:
        whole_classes.check_share(self.share, self.images_per_class, self)

    def __call__(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        classes = whole_classes.count(images, self.images_per_class)
        sides = sides_of(images)
        places = self.each.places(rng, len(images), sides)
        moved = self.alike.places(rng, classes, sides) - np.indices(sides).reshape(2, -1)
        moved[rng.random(classes) >= self.share] = 0
        places += np.repeat(moved, self.images_per_class, axis=0)
        return read(images, places.astype(np.float32), self.each.fill)
