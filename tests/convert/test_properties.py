"""Random valid networks: (a) and (b) hold for every one that can be drawn."""

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

import keras_metric as km

KERNEL = st.integers(1, 3)
TRUNK = st.lists(
    st.one_of(
        st.tuples(st.just("conv"), KERNEL, KERNEL, st.integers(1, 2), st.booleans()),
        st.tuples(st.just("dilated"), KERNEL, KERNEL, st.integers(1, 2), st.booleans()),
        st.tuples(st.just("depthwise"), KERNEL, KERNEL, st.just(1), st.booleans()),
        st.tuples(st.just("max"), KERNEL, KERNEL, st.integers(1, 2), st.booleans()),
        st.tuples(st.just("average"), KERNEL, KERNEL, st.integers(1, 2), st.booleans()),
        st.tuples(st.just("norm"), KERNEL, KERNEL, st.just(1), st.booleans()),
        st.tuples(st.just("residual"), KERNEL, KERNEL, st.just(1), st.booleans()),
    ),
    min_size=1,
    max_size=4,
)
HEAD = st.sampled_from(["flatten", "hidden", "average", "maximum", "folded", "unfolded", "sliced"])


def stage(x, kind, height, width, stride, active):
    """The next layers; `x` itself where they are larger than the map."""
    size = (height, width)
    apart = stride if kind == "dilated" else 1
    if any((k - 1) * apart >= n for k, n in zip(size, x.shape[1:3], strict=True)):
        return x
    if kind == "conv":
        x = layers.Conv2D(3, size, stride)(x)
    elif kind == "dilated":
        x = layers.Conv2D(3, size, dilation_rate=stride)(x)
    elif kind == "depthwise":
        x = layers.DepthwiseConv2D(size)(x)
    elif kind == "max":
        x = layers.MaxPooling2D(size, stride)(x)
    elif kind == "average":
        x = layers.AveragePooling2D(size, stride)(x)
    elif kind == "norm":
        x = layers.BatchNormalization()(x)
    else:
        y = layers.Conv2D(x.shape[-1], size)(x)
        crop = ((0, height - 1), (0, width - 1))
        x = layers.Add()([y, layers.Cropping2D(crop)(x)])
    return layers.Activation("tanh")(x) if active else x


def head(x, kind):
    if kind in ("average", "maximum"):
        pool = layers.GlobalAveragePooling2D if kind == "average" else layers.GlobalMaxPooling2D
        return layers.Dense(2)(pool()(x))
    if kind == "sliced" and x.shape[1] > 1:
        x = x[:, 1:]
    x = layers.Flatten()(x)
    if kind == "folded":
        x = layers.BatchNormalization()(x)
    if kind == "unfolded":
        x = layers.LayerNormalization()(x)
    if kind == "hidden":
        x = layers.Dense(4, activation="leaky_relu")(x)
    return layers.Dense(2)(x)


def built(stages, kind):
    image = x = keras.Input((25, 23, 2))
    for each in stages:
        x = stage(x, *each)
    return keras.Model(image, head(x, kind))


def check(stages, kind, seed, randomize, densify=1):
    model = randomize(built(stages, kind), seed)
    fcn = km.convert.to_fully_convolutional(model, densify=densify)
    report = km.convert.verify(model, fcn)
    assert report.inexact_layers == ()
    assert report.exact, report
    assert report.cells >= 6


# Large terms that cancel: float32 itself differs by 2e-5 between two orders of summation.
CANCELLING = {
    "leaky relu of long sums": ([("residual", 1, 1, 1, False)], "hidden", 1),
    "batch norm, folded": ([("max", 3, 3, 1, True)], "folded", 3),
    "only on windows": (
        [
            ("depthwise", 2, 3, 1, True),
            ("conv", 1, 1, 1, True),
            ("conv", 1, 1, 1, False),
            ("norm", 1, 3, 1, False),
        ],
        "flatten",
        45,
    ),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_rounding_is_no_difference(name, randomize):
    check(*CANCELLING[name], randomize)


def test_stages_larger_than_the_map_are_left_out(randomize):
    check([("max", 1, 3, 2, False)] * 4, "folded", 7, randomize)


def test_an_untrained_norm_over_the_vector_is_not_elementwise():
    model = built([("depthwise", 1, 1, 1, False)], "unfolded")
    fcn = km.convert.to_fully_convolutional(model)
    assert km.convert.verify(model, fcn).exact


QUICK = settings(
    max_examples=6, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@QUICK
@given(stages=TRUNK, kind=HEAD, seed=st.integers(0, 99))
def test_random_valid_networks_are_exact(randomize, stages, kind, seed):
    check(stages, kind, seed, randomize)


@pytest.mark.slow
@settings(QUICK, max_examples=200, derandomize=False)
@given(stages=TRUNK, kind=HEAD, seed=st.integers(0, 99))
def test_many_random_valid_networks_are_exact(randomize, stages, kind, seed):
    check(stages, kind, seed, randomize)


@pytest.mark.slow
@settings(QUICK, max_examples=60)
@given(stages=TRUNK, kind=HEAD, seed=st.integers(0, 99))
def test_densified_random_networks_are_exact(randomize, stages, kind, seed):
    stride = km.convert.to_fully_convolutional(built(stages, kind)).conversion.stride[0]
    check(stages, kind, seed, randomize, densify=stride)
