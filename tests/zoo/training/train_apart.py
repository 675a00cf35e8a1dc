"""Trains digits-triplet over the devices that the arguments name, and prints as JSON.

    python train_apart.py FOLDER '{"epochs": 1}' '{"way": "mirrored", "devices": 2}' [EPOCH]

One strategy, or one process of several, in each process. With EPOCH it kills itself in the middle
of the epoch after that one.
"""

import json
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import zoo
from zoo.runs.runs import Run
from zoo.training.callbacks import Checkpoint
from zoo.training.distribution import Distribution
from zoo.training.training import fitted


def main(folder: str, settings: str, arguments: str, last_epoch: str = "") -> None:
    if last_epoch:
        Checkpoint.on_train_batch_end = lambda self, batch, logs=None: (
            self.epoch == int(last_epoch) and os.kill(os.getpid(), signal.SIGKILL)
        )
    distribution = Distribution(**json.loads(arguments))
    distribution.begin()
    recipe = zoo.get("digits-triplet")
    resolved = recipe.resolve_settings(json.loads(settings))
    split = recipe.data(resolved, None)
    with distribution.scope():
        model, history, _ = fitted(
            Run(Path(folder)), recipe, resolved, split, distribution=distribution
        )
    distribution.leave(model)
    norms = [layer for layer in model.layers if hasattr(layer, "synchronized")]
    found = {
        "weights": [weight.tolist() for weight in model.get_weights()],
        "history": history,
        "devices": str(distribution),
        "synchronized": [layer.synchronized for layer in norms],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
