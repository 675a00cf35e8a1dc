"""Labels and embeddings go together, and a loss is a number with a fraction."""

import numpy as np
import pytest
from keras import ops

from keras_metric.losses import SupConLoss, TripletLoss


@pytest.mark.parametrize("loss", [TripletLoss(), SupConLoss()])
@pytest.mark.parametrize("count", [1, 5])
def test_one_label_for_each_embedding(loss, count, rng):
    with pytest.raises(ValueError, match=f"one label for each.*Received: {count} labels, 8 emb"):
        loss(np.arange(count), rng.random((8, 3)))


def test_whole_numbers_as_embeddings_give_a_real_loss():
    labels, embeddings = np.array([0, 0, 1, 1]), np.array([[0, 0], [1, 0], [0, 2], [3, 3]])
    found = float(ops.convert_to_numpy(TripletLoss(0.3)(labels, embeddings)))
    real = float(ops.convert_to_numpy(TripletLoss(0.3)(labels, embeddings.astype("float32"))))
    assert found == real != round(real)
