"""What a recipe hands over: a split of the data, a model with its batches, what was measured."""

from typing import TYPE_CHECKING, Any, NamedTuple

import keras

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = dict[str, float]


class Split(NamedTuple):
    """What to learn from and what to measure on: `Images`, `Scenes`; their `repr` is on the card.

    Choices may be made on `validation`; `test` is only ever measured. Embeddings are measured on
    classes they have not learnt.
    """

    train: Any
    validation: Any
    test: Any


class Experiment(NamedTuple):
    """A compiled model, the batches of one epoch, and batches that watch it learn (or None)."""

    model: keras.Model
    batches: keras.utils.PyDataset
    validation: keras.utils.PyDataset | None = None


class Measured(NamedTuple):
    """Results by name; those of each baseline; further tables: title -> row -> column -> value.

    `notes` are sentences that the card shows above the results, for what a reader must not miss.
    """

    results: Results
    baselines: dict[str, Results]
    tables: dict[str, dict[str, Results]] = {}
    notes: tuple[str, ...] = ()


class Picture(NamedTuple):
    """A picture of the card and the sentence below it."""

    figure: "Figure"
    caption: str
