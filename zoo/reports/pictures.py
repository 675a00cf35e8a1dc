"""The pictures of a run: those of its recipe, and the curves of its training."""

import keras

from keras_metric import plots
from zoo.datasets.reading._extras import need
from zoo.files import write
from zoo.recipe import Recipe, Settings
from zoo.reports import embedding_pictures
from zoo.runs.runs import Run
from zoo.training.experiments import Picture, Split


def check_extras(recipe: Recipe) -> None:
    """Raise, before any work, if what draws the pictures is missing."""
    need("matplotlib", extra="plots", purpose="The pictures of a run")
    if recipe.pictures is None:
        embedding_pictures.check_extras()


def draw(
    run: Run,
    recipe: Recipe,
    settings: Settings,
    model: keras.Model,
    split: Split,
    histories: dict[str, list[dict[str, float]]],
) -> dict[str, str]:
    """Draw into a run's folder; returns file names and captions, in the order of the card.

    `histories` are trainings by the caption of their curves, the first `curves.png`; one of no
    epochs has none.
    """
    pictures = (recipe.pictures or embedding_pictures.pictures)(settings, model, split)
    trained = [(caption, history) for caption, history in histories.items() if history]
    for number, (caption, history) in enumerate(trained):
        name = f"curves-{number}.png" if number else "curves.png"
        pictures[name] = Picture(plots.curves(history), caption)
    for name, picture in pictures.items():
        write(run.pictures / name, picture.figure.savefig)
    return {name: picture.caption for name, picture in pictures.items()}
