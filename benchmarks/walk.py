"""The files of the two packages that one call visits, which is what a reader of it has open.

    python benchmarks/walk.py triplet-loss
    python benchmarks/walk.py saved-model to-fully-convolutional digits-triplet-step --functions

Each case runs once before it is counted, so that imports at first use are not. Counted are files
of `keras_metric` and `zoo` in which any function of Python was called, in all threads.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PACKAGES = tuple(str(ROOT / name) + os.sep for name in ("keras_metric", "zoo"))


def visited(call: Callable[[], object]) -> Counter:
    """How often each (file, function) of the packages is called, while `call()` runs."""
    calls = Counter()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGES):
            place = str(Path(frame.f_code.co_filename).relative_to(ROOT))
            calls[place, frame.f_code.co_qualname] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


def files(call: Callable[[], object]) -> list[str]:
    """The files that `call()` visits, once it has run before."""
    call()
    return sorted({place for place, _ in visited(call)})


def triplet_loss() -> Callable[[], object]:
    import numpy as np

    from keras_metric.losses import TripletLoss

    x = np.random.default_rng(0).normal(size=(24, 8)).astype("float32")
    return lambda: TripletLoss()(np.arange(24) // 4, x)


def saved_model() -> Callable[[], object]:
    from keras_metric import export

    encoder = _network()

    def write():
        with tempfile.TemporaryDirectory() as folder:
            export.saved_model(encoder, f"{folder}/model")

    return write


def to_fully_convolutional() -> Callable[[], object]:
    from keras_metric import convert

    network = _network()
    return lambda: convert.to_fully_convolutional(network)


def digits_triplet_step() -> Callable[[], object]:
    """The first training step: one batch, and the step of `fit` as it is traced."""
    import keras

    from zoo.recipe import get

    def step():
        recipe = get("digits-triplet")
        settings = recipe.settings
        split = recipe.data(settings, None)
        keras.utils.set_random_seed(0)
        model = recipe.build(settings, split)
        experiment = recipe.experiment(settings, model, split)
        experiment.model.fit(experiment.batches, epochs=1, steps_per_epoch=1, verbose=0)

    return step


CASES = {
    "triplet-loss": triplet_loss,
    "saved-model": saved_model,
    "to-fully-convolutional": to_fully_convolutional,
    "digits-triplet-step": digits_triplet_step,
}


def _network():
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(8),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="+", choices=list(CASES))
    parser.add_argument("--functions", action="store_true", help="name the functions of each file")
    options = parser.parse_args()
    for case in options.cases:
        call = CASES[case]()
        with contextlib.redirect_stdout(io.StringIO()):
            call()
            calls = visited(call)
        places = sorted({place for place, _ in calls})
        print(f"{case}: {len(places)} files, {len(calls)} functions")
        for place in places:
            names = [name for at, name in calls if at == place] if options.functions else []
            print(f"  {place}", *names)


if __name__ == "__main__":
    main()
