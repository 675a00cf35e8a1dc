"""What `training.py` compares: whole epochs, from images in memory to changed weights.

The net is `conv4` in all of them: four blocks of 64 channels, 64 numbers of unit length. Each
library draws its own batches of 8 images a class, as its manual shows, and pulls them together by
its semi-hard triplets; the warped images are made by one function, handed to each in its own way.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))

PLAIN, WARPED = "images as they are", "images warped"
CASES = (PLAIN, WARPED)
IMAGES = 8
CONTENDERS = {
    "keras-metric/tensorflow": CASES,
    "keras-metric/torch": CASES,
    "pytorch-metric-learning": CASES,
    "tensorflow-similarity": CASES,
}
STEPS, CLASSES, OF_EACH, SIDE, CHANNELS, DIMENSIONS = 10, 544, 20, 28, 64, 64


def build(contender: str, case: str, size: int):
    """An epoch of `STEPS` batches of `size` images, which returns its mean loss."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CLASSES * OF_EACH, SIDE, SIDE, 1), dtype=np.uint8)
    labels = np.repeat(np.arange(CLASSES), OF_EACH)
    library = contender.partition("/")[0]
    epoch = {"pytorch-metric-learning": _pytorch, "tensorflow-similarity": _similarity}
    return epoch.get(library, _ours)(images, labels, size, case == WARPED)


def warp():
    from zoo.datasets.augmentation.warp import Warp

    return Warp(rotation=15, scale=0.15, shear=0.2, translation=0.05, elastic=0.02)


def _ours(images, labels, size, warped):
    from keras_metric.batches import PKBatches
    from keras_metric.losses import TripletLoss
    from zoo import encoders

    network = encoders.build("conv4", images.shape[1:], embedding=DIMENSIONS, normalize=True)
    network.compile("adam", TripletLoss(0.2, mining="semi_hard"))
    batches = PKBatches(
        images,
        labels,
        classes_per_batch=size // IMAGES,
        images_per_class=IMAGES,
        batches_per_epoch=STEPS,
        augment=warp() if warped else None,
    )
    return lambda: network.fit(batches, verbose=0, shuffle=False).history["loss"][0]


def _similarity(images, labels, size, warped):
    import tf_keras
    from tensorflow_similarity.losses import TripletLoss
    from tensorflow_similarity.models import SimilarityModel
    from tensorflow_similarity.samplers import MultiShotMemorySampler

    layers, rng = tf_keras.layers, np.random.default_rng(0)
    image = x = layers.Input(images.shape[1:])
    x = layers.Rescaling(1 / 255)(x)
    for _ in range(4):
        x = layers.Conv2D(CHANNELS, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
        x = layers.MaxPooling2D()(x)
    x = layers.UnitNormalization()(layers.Dense(DIMENSIONS)(layers.Flatten()(x)))
    network = SimilarityModel(image, x)
    loss = TripletLoss("euclidean", negative_mining_strategy="semi-hard", margin=0.2)
    network.compile("adam", loss)
    changed = warp()
    sampler = MultiShotMemorySampler(
        images,
        labels,
        classes_per_batch=size // IMAGES,
        examples_per_class_per_batch=IMAGES,
        steps_per_epoch=STEPS,
        augmenter=(lambda x, y, *_: (changed(rng, np.asarray(x)), y)) if warped else None,
    )
    return lambda: network.fit(sampler, verbose=0).history["loss"][0]


def _pytorch(images, labels, size, warped):
    import torch
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import TripletMarginMiner
    from pytorch_metric_learning.samplers import MPerClassSampler
    from torch.utils.data import DataLoader, TensorDataset, default_collate

    network = _torch_conv4()
    optimizer = torch.optim.Adam(network.parameters())
    loss, miner = TripletMarginLoss(0.2), TripletMarginMiner(0.2, "semihard")
    changed, rng = warp(), np.random.default_rng(0)

    def collate(rows):
        pixels, named = default_collate(rows)
        if warped:
            pixels = torch.from_numpy(changed(rng, pixels.numpy()))
        return pixels.movedim(-1, 1).float() / 255, named

    loader = DataLoader(
        TensorDataset(torch.from_numpy(images), torch.from_numpy(labels)),
        batch_size=size,
        sampler=MPerClassSampler(labels, IMAGES, size, STEPS * size),
        collate_fn=collate,
    )

    def epoch():
        losses = []
        for pixels, named in loader:
            optimizer.zero_grad()
            embeddings = network(pixels)
            value = loss(embeddings, named, miner(embeddings, named))
            value.backward()
            optimizer.step()
            losses.append(value.item())
        return np.mean(losses)

    return epoch


def _torch_conv4():
    from torch import nn

    blocks = []
    for inside in (1, CHANNELS, CHANNELS, CHANNELS):
        blocks += [
            nn.Conv2d(inside, CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    last = nn.Linear(CHANNELS * (SIDE // 16) ** 2, DIMENSIONS)
    return nn.Sequential(*blocks, nn.Flatten(), last)  # the loss brings it to unit length
