"""Handwritten digits that come with scikit-learn: real images without a download."""

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need


def load() -> Images:
    """1,797 digits of 8 x 8, white ink on black, 10 classes.

    The original grey values 0..16 become round(255 v / 16). Raises `ImportError` without
    scikit-learn (`keras-metric[eval]`).

    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test part).
    """
    sklearn_datasets = need("sklearn.datasets", extra="eval", purpose="The digits dataset")
    digits = sklearn_datasets.load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return Images(images, digits.target.astype(np.int64), tuple(str(digit) for digit in range(10)))
