"""Kinds of models: sequential, branched, nested, shared, subclassed, several inputs and outputs."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km
from keras_metric.convert import ConversionError
from keras_metric.convert.graph.trace import trace

D = layers.Dense
SHAPE = (14, 12, 3)


@pytest.fixture
def equal(array, rng):
    """The converted model equals the original on one window, and runs on a larger image."""

    def check(model, **options):
        fcn = km.convert.to_fully_convolutional(model, **options)
        small = rng.standard_normal((2, *SHAPE)).astype("float32")
        large = rng.standard_normal((2, 18, 18, 3)).astype("float32")
        large[:, 2 : 2 + 14, 4 : 4 + 12] = small
        expected = array(model(small))
        np.testing.assert_allclose(array(fcn(small))[:, 0, 0], expected, atol=1e-5)
        np.testing.assert_allclose(array(fcn(large))[:, 1, 2], expected, atol=1e-5)
        return fcn

    return check


def head(x):
    return D(3, name="fc")(layers.Flatten()(x))


def test_sequential(trunk, randomize, equal):
    stack = [layers.Conv2D(4, 3), layers.MaxPooling2D(2), layers.Conv2D(5, 3), layers.Flatten()]
    equal(randomize(keras.Sequential([layers.Input(SHAPE), *stack, D(3)])))


def test_sequential_that_was_never_built(trunk):
    model = keras.Sequential([layers.Conv2D(4, 3), layers.Flatten(), D(3)])
    with pytest.raises(ConversionError, match="input_shape"):
        km.convert.to_fully_convolutional(model)
    fcn = km.convert.to_fully_convolutional(model, input_shape=(6, 7, 2))
    assert fcn.output_shape == (None, None, None, 3)
    assert fcn.conversion.windows == ((6, 7),)


def test_nested_base_called_for_inference(net, trunk, randomize, equal):
    """`training=False` of a frozen base reaches the layers inside."""

    def base(x):
        return layers.BatchNormalization(name="norm")(trunk(x))

    image = keras.Input((None, None, 3))
    inner = keras.Model(image, base(image), name="base")
    outer = net(lambda x: head(inner(x, training=False)))
    randomize(outer)
    equal(outer)
    step = next(step for step in trace(outer).steps if step.op.name == "norm")
    assert step.kwargs["training"] is False


def test_frozen_layers_stay_frozen(net, trunk):
    inner = keras.Sequential([layers.Conv2D(5, 1, name="conv"), layers.Flatten()])
    inner.trainable = False
    model = net(lambda x: D(3, name="fc")(D(4, trainable=False, name="hidden")(inner(trunk(x)))))
    fcn = km.convert.to_fully_convolutional(model)
    frozen = {layer.name for layer in fcn.layers if layer.weights and not layer.trainable}
    assert frozen == {"conv", "hidden"}


def test_nested_sequential_twice_with_equal_names(net, trunk, equal):
    def twin(seed):
        return keras.Sequential([layers.Conv2D(5, 1, name="conv")], name=f"twin_{seed}")

    def build(x):
        x = trunk(x)
        return head(layers.Add()([twin(0)(x), twin(1)(x)]))

    fcn = equal(net(build))
    assert {"conv", "conv_1"} <= {layer.name for layer in fcn.layers}


def test_shared_layers_stay_shared(net, trunk, equal):
    def build(x):
        shared, y = layers.Conv2D(5, 1, name="shared"), trunk(x)
        fc = D(3)
        flat = layers.Flatten()
        return layers.Subtract()([fc(flat(shared(y))), fc(flat(shared(ops.relu(y))))])

    fcn = equal(net(build))
    assert len([layer for layer in fcn.layers if layer.name.startswith("shared")]) == 1
    assert len(fcn.trainable_variables) == 8


def test_one_dense_on_two_layouts_gets_two_kernels(net):
    def build(x):
        wide = layers.Reshape((4, 6, 2))(x)
        fc = D(3, name="fc")
        high, low = layers.MaxPooling2D((1, 2))(wide), layers.MaxPooling2D((2, 1))(x)
        return layers.Add()([fc(layers.Flatten()(low)), fc(layers.Flatten()(x[:, :3]))]) + 0 * fc(
            layers.Flatten()(layers.Concatenate()([high]))
        )

    model = net(build, (6, 4, 2))
    fcn = km.convert.to_fully_convolutional(model)
    assert any("'fc' is shared by inputs of different layouts" in n for n in fcn.conversion.notes)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = layers.Conv2D(4, 3), layers.BatchNormalization(), D(3)

    def call(self, x, training=False):
        x = ops.relu(self.norm(self.conv(x), training=training))
        return self.fc(ops.reshape(layers.MaxPooling2D(2)(x), (-1, 6 * 5 * 4)))


def test_subclassed(randomize, equal):
    model = Subclassed()
    model(np.zeros((1, *SHAPE)))
    equal(randomize(model))


def test_subclass_that_is_functional(trunk, randomize, equal):
    class Named(keras.Model):
        def __init__(self):
            image = keras.Input(SHAPE)
            super().__init__(image, head(trunk(image)))

    equal(randomize(Named()))


@pytest.mark.tensorflow
def test_functions_of_tensorflow_do_not_trace():
    import tensorflow as tf

    class Native(keras.Model):
        def call(self, x):
            return tf.reduce_mean(x, axis=(1, 2))

    model = Native()
    model(np.ones((1, *SHAPE), "float32"))
    with pytest.raises(ConversionError, match="functions of one backend"):
        km.convert.to_fully_convolutional(model)


def test_subclassed_inside_functional(net, equal):
    equal(net(lambda x: Subclassed()(x)))


def test_layer_of_layers_is_looked_into(net, equal):
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.conv = layers.Conv2D(5, 3, name="inner")

        def call(self, x):
            return ops.relu(self.conv(x))

    fcn = equal(net(lambda x: head(layers.MaxPooling2D(2)(Block()(x)))))
    assert "inner" in {layer.name for layer in fcn.layers}


def test_a_call_that_does_not_trace():
    class Branching(keras.Model):
        def call(self, x):
            return x if ops.sum(x) > 0 else -x

    model = Branching()
    model(np.ones((1, *SHAPE)))
    with pytest.raises(ConversionError, match="cannot be traced"):
        km.convert.to_fully_convolutional(model)


def test_a_loose_variable_is_refused():
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = self.add_weight(shape=(), name="scale")
            self.fc = D(3)

        def call(self, x):
            return self.fc(layers.Flatten()(x * self.scale))

    model = Scaled()
    model(np.ones((1, *SHAPE)))
    with pytest.raises(ConversionError, match="variable that belongs to no layer"):
        km.convert.to_fully_convolutional(model)


def test_dict_of_inputs_and_outputs(trunk, randomize, array, rng):
    image, side = keras.Input(SHAPE, name="image"), keras.Input((2,), name="side")
    features = layers.Flatten()(trunk(image))
    joined = layers.Concatenate()([features, side])
    outputs = {"label": D(3, name="label")(joined), "box": D(4, name="box")(features)}
    model = randomize(keras.Model({"image": image, "side": side}, outputs))
    fcn = km.convert.to_fully_convolutional(model)
    small = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    large = np.pad(small, ((0, 0), (2, 0), (0, 2), (0, 0)))
    vectors = rng.standard_normal((2, 2)).astype("float32")
    expected = model({"image": small, "side": vectors})
    found = fcn({"image": large, "side": vectors})
    for key in ("label", "box"):
        np.testing.assert_allclose(array(found[key])[:, 1, 0], array(expected[key]), atol=1e-5)


def test_list_of_two_images(trunk, randomize, array, rng):
    first, second = keras.Input(SHAPE), keras.Input(SHAPE)
    difference = layers.Subtract()([trunk(first), trunk(second)])
    model = randomize(keras.Model([first, second], head(difference)))
    fcn = km.convert.to_fully_convolutional(model)
    a, b = rng.standard_normal((2, 2, *SHAPE)).astype("float32")
    expected = array(model([a, b]))
    np.testing.assert_allclose(array(fcn([a, b]))[:, 0, 0], expected, atol=1e-5)


def test_input_of_free_size_needs_the_training_size(net):
    model = net(
        lambda x: D(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))), (None, None, 3)
    )
    with pytest.raises(ConversionError, match="input_shape"):
        km.convert.to_fully_convolutional(model)
    fcn = km.convert.to_fully_convolutional(model, input_shape=(9, 8, 3))
    assert tuple(fcn(np.zeros((1, 9, 10, 3))).shape) == (1, 1, 3, 3)
