"""One-shot handwritten characters, as well as we can: a committee of encoders, trained for long.

    keras-metric train omniglot-best --seeds 3
    keras-metric train omniglot-best --seeds 3 --set background=small2

Two encoders of omniglot-infonce learn side by side from the same batches, each from weights of
its own, longer than there; the embedding is both of theirs over nine views of an image.
"""

from dataclasses import replace

from zoo.recipes.omniglot_infonce import RECIPE as INFONCE

RECIPE = replace(INFONCE, settings={**INFONCE.settings, "epochs": 25, "members": 2})
