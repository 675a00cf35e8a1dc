"""How good a map is: where it points (localisation), what the model does without it, and whether
it depends on what the model has learned (sanity).

NumPy in, numbers out. Boxes are `(left, top, right, bottom)` in pixels, right and bottom excluded.
"""

from keras_metric.cam.scores.faithfulness import (
    Road,
    average_drop,
    average_increase,
    deletion,
    insertion,
    road,
)
from keras_metric.cam.scores.localisation import (
    MaxBoxAcc,
    MaxBoxAccV2,
    energy_in_box,
    pixel_average_precision,
    pointing_game,
)
from keras_metric.cam.scores.sanity import correlation, shuffled

__all__ = [
    "MaxBoxAcc",
    "MaxBoxAccV2",
    "Road",
    "average_drop",
    "average_increase",
    "correlation",
    "deletion",
    "energy_in_box",
    "insertion",
    "pixel_average_precision",
    "pointing_game",
    "road",
    "shuffled",
]
