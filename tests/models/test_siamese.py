"""SiameseNet and TripletNet: values against numpy, training, losses of the encoder, files."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric.models import SiameseNet, TripletNet

# Keras 3.15 converts TensorFlow variables in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NETS = [(SiameseNet, 2), (TripletNet, 3)]


def dense_encoder(inputs=5, dimensions=3, seed=0, **dense_options):
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(
                dimensions,
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
                **dense_options,
            ),
        ]
    )


def rows(rng, count, batch=8, width=5):
    return tuple(rng.normal(size=(batch, width)).astype("float32") for _ in range(count))


@keras.saving.register_keras_serializable(package="test_models")
class SquaredError(keras.Loss):
    def call(self, y_true, y_pred):
        return ops.square(ops.reshape(y_pred, (ops.shape(y_pred)[0], -1)) - y_true[:, None])


@keras.saving.register_keras_serializable(package="test_models")
class BatchPenalty(keras.layers.Layer):
    """Adds a loss in each call; it counts how often it does."""

    def call(self, x):
        self.add_loss(ops.mean(ops.square(x)))
        return x


def test_siamese_distances_equal_numpy(rng):
    encoder = dense_encoder()
    x1, x2 = rows(rng, 2)
    f1, f2 = (encoder.predict(x, verbose=0).astype("float64") for x in (x1, x2))
    expected = [np.linalg.norm(a - b) for a, b in zip(f1, f2, strict=True)]
    distances = SiameseNet(encoder).predict((x1, x2), verbose=0)
    assert distances.shape == (8,)
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_triplet_distances_equal_numpy(rng):
    encoder = dense_encoder()
    inputs = rows(rng, 3)
    anchor, positive, negative = (encoder.predict(x, verbose=0) for x in inputs)
    near = np.abs(anchor - positive).sum(axis=1)
    far = np.abs(anchor - negative).sum(axis=1)
    distances = TripletNet(encoder, "manhattan").predict(inputs, verbose=0)
    np.testing.assert_allclose(distances, np.stack([near, far], axis=1), rtol=1e-5)


def test_unshared_encoders_take_their_own_inputs(rng):
    first, second = dense_encoder(5), dense_encoder(7, seed=1)
    x1, x2, x3 = *rows(rng, 1), *rows(rng, 2, width=7)
    f1, f2, f3 = first.predict(x1, verbose=0), *(second.predict(x, verbose=0) for x in (x2, x3))
    pairs = SiameseNet((first, second)).predict((x1, x2), verbose=0)
    np.testing.assert_allclose(pairs, np.linalg.norm(f1 - f2, axis=1), rtol=1e-5)
    triplets = TripletNet((first, second)).predict((x1, x2, x3), verbose=0)
    np.testing.assert_allclose(triplets[:, 1], np.linalg.norm(f1 - f3, axis=1), rtol=1e-5)


@pytest.mark.parametrize(("net", "count"), NETS)
def test_shared_encoder_is_one_copy(net, count, rng):
    encoder = dense_encoder()
    model = net(encoder)
    assert model.encoder is encoder
    assert model.encoders == (encoder, encoder)
    assert len(model.weights) == len(encoder.weights) == 2


@pytest.mark.parametrize("container", [tuple, list])
@pytest.mark.parametrize(("net", "count"), NETS)
def test_fits_from_arrays_and_from_a_generator(net, count, container, rng):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return tuple(inputs), targets

    inputs, targets = container(rows(rng, count)), np.zeros(8, "float32")
    model = net(dense_encoder())
    model.compile(keras.optimizers.SGD(0.05), SquaredError())
    before = model.evaluate(inputs, targets, verbose=0)
    model.fit(inputs, targets, epochs=3, batch_size=3, verbose=0)  # 3 + 3 + 2: a partial batch
    model.fit(Batches(), verbose=0)
    assert model.evaluate(inputs, targets, verbose=0) < before


@pytest.mark.tensorflow
@pytest.mark.parametrize(("net", "count"), NETS)
def test_fits_from_tf_data(net, count, rng):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((rows(rng, count), np.zeros(8, "float32")))
    model = net(dense_encoder())
    model.compile("sgd", SquaredError())
    history = model.fit(data.batch(4), epochs=2, shuffle=False, verbose=0).history["loss"]
    assert history[1] < history[0]


@pytest.mark.parametrize(("net", "count"), NETS)
def test_training_reaches_the_encoder(net, count, rng):
    """One batch of all inputs: the moving mean moves once, to the mean over every image."""
    normalise = keras.layers.BatchNormalization(momentum=0.5)
    dropout = keras.layers.Dropout(0.5, seed=0)
    model = net(keras.Sequential([keras.Input((5,)), normalise, dropout]))
    model.compile(keras.optimizers.SGD(0.0), SquaredError())
    inputs = rows(rng, count)
    model.fit(inputs, np.zeros(8, "float32"), batch_size=8, verbose=0)
    expected = 0.5 * np.concatenate(inputs).mean(axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(normalise.moving_mean), expected, rtol=1e-4)
    before = ops.convert_to_numpy(normalise.moving_mean)
    again = [ops.convert_to_numpy(model(inputs, training=True)) for _ in range(2)]
    assert not np.allclose(*again)  # dropout draws anew
    np.testing.assert_array_equal(
        model.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )
    assert not np.allclose(ops.convert_to_numpy(normalise.moving_mean), before)


@pytest.mark.parametrize(("net", "count"), NETS)
def test_losses_of_the_encoder_count_once(net, count, rng):
    decay = keras.regularizers.L2(0.1)
    encoder = keras.Sequential([dense_encoder(kernel_regularizer=decay), BatchPenalty()])
    model = net(encoder)
    model.compile(keras.optimizers.SGD(0.0), SquaredError())
    inputs = rows(rng, count)
    output = model.predict(inputs, verbose=0)
    total = model.evaluate(inputs, np.zeros(8, "float32"), verbose=0)
    embedding = encoder.predict(np.concatenate(inputs), verbose=0)
    kernel = ops.convert_to_numpy(encoder.layers[0].weights[0])
    expected = np.mean(output**2) + 0.1 * np.sum(kernel**2) + np.mean(embedding**2)
    np.testing.assert_allclose(total, expected, rtol=1e-5)


@pytest.mark.diagonal
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine", "angular"])
@pytest.mark.parametrize(("net", "count"), NETS)
def test_gradient_is_finite_where_embeddings_coincide(net, count, distance, rng):
    (x,) = rows(rng, 1)
    model = net(dense_encoder(), distance)
    model.compile(keras.optimizers.SGD(1.0), SquaredError())
    model.fit((x,) * count, np.ones(8, "float32"), batch_size=8, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.diagonal
@pytest.mark.parametrize("unshared", [False, True])
@pytest.mark.parametrize(("net", "count"), NETS)
def test_saves_and_loads(net, count, unshared, rng, tmp_path):
    encoder = (dense_encoder(), dense_encoder(seed=1)) if unshared else dense_encoder()
    model = net(encoder, "cosine", classifier=4, name="twins")
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        "adam",
        {"distances": SquaredError(), "classes": classes},
        {"distances": 0.4, "classes": 0.6},
    )
    inputs = rows(rng, count)
    targets = {"distances": np.zeros(8, "float32"), "classes": np.zeros((8, count), "int32")}
    model.fit(inputs, targets, verbose=0)
    model.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    assert type(again) is net
    assert again.name == "twins"
    assert again.distance == "cosine"
    assert len(again.branches()) == 1 + unshared
    for name, output in model.predict(inputs, verbose=0).items():
        np.testing.assert_allclose(again.predict(inputs, verbose=0)[name], output, rtol=1e-6)


@keras.saving.register_keras_serializable(package="test_models")
def doubled(anchors, candidates):
    return 2 * ops.sum(ops.abs(anchors[:, None] - candidates[None]), axis=-1)


def test_a_distance_of_ones_own_is_saved(rng, tmp_path):
    model = SiameseNet(dense_encoder(), doubled)
    inputs = rows(rng, 2)
    model.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    manhattan = SiameseNet(model.encoder, "manhattan").predict(inputs, verbose=0)
    np.testing.assert_allclose(again.predict(inputs, verbose=0), 2 * manhattan, rtol=1e-5)


def test_summary_counts_before_the_first_call():
    lines = []
    SiameseNet(dense_encoder()).summary(print_fn=lambda line, **_: lines.append(line))
    assert "18" in "\n".join(lines)  # 5 x 3 weights + 3 biases


def test_encoder_is_built_by_the_first_batch(rng):
    model = TripletNet(keras.Sequential([keras.layers.Dense(3)]))
    assert not model.built
    model.compile("sgd", SquaredError())
    model.fit(rows(rng, 3), np.zeros(8, "float32"), verbose=0)
    assert len(model.weights) == 2


def test_encoder_of_several_inputs(rng):
    image, text = keras.Input((5,), name="image"), keras.Input((2,), name="text")
    joined = keras.layers.Concatenate()([image, text])
    encoder = keras.Model({"image": image, "text": text}, keras.layers.Dense(3)(joined))
    item = [{"image": rows(rng, 1)[0], "text": rows(rng, 1, width=2)[0]} for _ in range(2)]
    f1, f2 = (encoder.predict(x, verbose=0) for x in item)
    distances = SiameseNet(encoder).predict(tuple(item), verbose=0)
    np.testing.assert_allclose(distances, np.linalg.norm(f1 - f2, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SiameseNet("conv4"), "Expected: a keras.Model.*Received: 'conv4'"),
        (lambda: TripletNet((dense_encoder(),) * 3), "tuple of two"),
        (lambda: SiameseNet(dense_encoder(), classifier=0), "number of classes.*Received: 0"),
    ],
)
def test_refuses_what_is_no_encoder(build, message):
    with pytest.raises(TypeError, match=message):
        build()


def test_refuses_wrong_inputs(rng):
    x1, x2, x3 = rows(rng, 3)
    with pytest.raises(ValueError, match=r"tuple of 2 inputs \(x1, x2\).*Received: a tuple of 3"):
        SiameseNet(dense_encoder())((x1, x2, x3))
    with pytest.raises(ValueError, match="two encoders"):
        SiameseNet(keras.Sequential([keras.layers.Dense(3)]))((x1, x2[:, :4]))
    with pytest.raises(ValueError, match="same shape"):
        SiameseNet(dense_encoder())((x1, x2[:1]))
    flat = keras.Sequential([keras.Input((4, 5)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="does not give embeddings"):
        SiameseNet(flat)((np.zeros((2, 4, 5)), np.zeros((2, 4, 5))))
    with pytest.raises(ValueError, match="branches"):
        _ = SiameseNet((dense_encoder(), dense_encoder())).encoder
