"""New classes from existing ones: in a batch, all images of a class are distorted in the same way.

The same character is written a little differently each time; this is `Warp`, drawn for each image.
A distortion shared by all images of a class makes a new character, so that the network is trained
on more classes than were drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zoo.datasets.augmentation.warp import Warp, read, sides_of


def check_share(share: float, images_per_class: int, received: object) -> None:
    """Raises `ValueError`, naming `received`, for a share of classes or a K out of range."""
    if not 0 <= share <= 1 or images_per_class < 1:
        raise ValueError(
            "The change of classes is out of range. Expected: share from 0 to 1 and "
            f"images_per_class >= 1. Received: {received}."
        )


def count(images: np.ndarray, images_per_class: int) -> int:
    """P, of a batch of images. Raises `ValueError` for one that is not whole classes."""
    classes, rest = divmod(len(images), images_per_class)
    if rest:
        raise ValueError(
            "The batch is not made of whole classes. Expected: a multiple of "
            f"{images_per_class} images. Received: {len(images)}."
        )
    return classes


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
        check_share(self.share, self.images_per_class, self)

    def __call__(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        classes = count(images, self.images_per_class)
        sides = sides_of(images)
        places = self.each.places(rng, len(images), sides)
        moved = self.alike.places(rng, classes, sides) - np.indices(sides).reshape(2, -1)
        moved[rng.random(classes) >= self.share] = 0
        places += np.repeat(moved, self.images_per_class, axis=0)
        return read(images, places.astype(np.float32), self.each.fill)


Augment = Callable[[np.random.Generator, np.ndarray], np.ndarray]

LEAST = 0.35  # of the side, on either side of the cut


@dataclass(frozen=True)
class ClassHalves:
    """New characters composed of two: CutMix whose mixtures are classes of their own.

        image k of class p  ->  itself on one side of a line, image k of class q on the other

    All images of a class share the line, which runs along or across at 0.35 to 0.65 of the side,
    and q, a class of the same batch. So what is made shares a part with two others of its batch,
    and a whole glance is needed to tell them apart. It takes batches of P classes x K images, one
    class after another.

    - `share`: the probability, 0 to 1, that a class of a batch is made so.
    - `images_per_class`: K.
    - `then`: what is done to the images next, such as a `ClassWarp`.

    Raises `ValueError` for a share out of range, a batch that is not whole classes, or no
    images.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features", 2019, arXiv:1905.04899, eq. 1; there a mixture counts for both of its classes.
    """

    share: float
    images_per_class: int
    then: Augment

    def __post_init__(self) -> None:
        check_share(self.share, self.images_per_class, self)

    def __call__(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        height, width = sides_of(images)
        classes = count(images, self.images_per_class)
        each = images.reshape(classes, self.images_per_class, *images.shape[1:])
        keeps = self._kept(rng, classes, (height, width))
        keeps = keeps.reshape(classes, 1, height, width, *(1,) * (images.ndim - 3))
        made = np.where(keeps, each, each[rng.permutation(classes)])
        return self.then(rng, made.reshape(images.shape))

    def _kept(self, rng: np.random.Generator, classes: int, sides) -> np.ndarray:
        """`(P, H, W)` whether a pixel stays that of its own class."""
        cut = rng.uniform(LEAST, 1 - LEAST, (classes, 1, 1))
        rows, columns = ((np.arange(n) + 0.5) / n for n in sides)
        above = np.broadcast_to(rows[:, None] < cut, (classes, *sides))
        left = np.broadcast_to(columns < cut, (classes, *sides))
        kept = np.where(rng.random((classes, 1, 1)) < 0.5, above, left)
        kept = kept ^ (rng.random((classes, 1, 1)) < 0.5)
        return kept | (rng.random((classes, 1, 1)) >= self.share)
