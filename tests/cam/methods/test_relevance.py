"""AttnLRP: against relevance propagated layer by layer, in plain loops and float64."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, targets

SIZE, GRID, TOKENS, WIDTH, HEADS, DEPTH = (4, 4), (2, 2), 5, 8, 2, 2


class OwnAttention(layers.Layer):
    """Attention inside a layer of one's own, which nobody can look into."""

    def build(self, shape):
        self.dense = [layers.Dense(shape[-1]) for _ in range(3)]
        for dense in self.dense:
            dense.build(shape)
        self.built = True

    def call(self, x):
        query, key, value = (dense(x) for dense in self.dense)
        return ops.matmul(ops.softmax(ops.matmul(query, ops.swapaxes(key, 1, 2))), value)


def heads_first(x):
    return ops.transpose(ops.reshape(x, (-1, TOKENS, HEADS, WIDTH // HEADS)), (0, 2, 1, 3))


def attention_of_ops(h, i):
    """What `keras.layers.MultiHeadAttention` computes, of Dense and keras.ops."""
    query, key, value = (heads_first(layers.Dense(WIDTH, name=f"{n}_{i}")(h)) for n in "qkv")
    scores = ops.matmul(query / np.sqrt(WIDTH // HEADS), ops.transpose(key, (0, 1, 3, 2)))
    weights = ops.softmax(scores, axis=-1) if i else layers.Activation("softmax")(scores)
    mixed = ops.matmul(weights, value)
    mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, TOKENS, WIDTH))
    return layers.Dense(WIDTH, name=f"o_{i}")(mixed)


def attention_layer(h, i):
    return layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"mix_{i}")(h, h)


def gated_attention(h, i):
    wide = WIDTH // HEADS
    mixed = layers.GroupQueryAttention(wide, 4, 2, use_gate=True)(h, h)
    return layers.Multiply()([mixed, layers.Dense(WIDTH, activation="silu")(h)])


def transformer(
    attention=attention_layer, activation="gelu", norm=layers.LayerNormalization, depth=DEPTH
):
    """Blocks of width 8 over a class token and 2 x 2 patches; no weight is zero."""
    x = keras.Input((*SIZE, 3))
    h = layers.Reshape((4, WIDTH))(layers.Conv2D(WIDTH, 2, strides=2, name="patches")(x))
    h = layers.ZeroPadding1D((1, 0))(h)
    h = layers.EinsumDense("btk,kc->btc", (TOKENS, WIDTH), bias_axes="tc", name="tokens")(h)
    for i in range(depth):
        h = layers.Add()([h, attention(norm(name=f"before_{i}")(h), i)])
        inner = layers.Dense(12, activation=activation, name=f"wide_{i}")(
            norm(name=f"between_{i}")(h)
        )
        h = layers.Add()([h, layers.Dense(WIDTH, name=f"narrow_{i}")(inner)])
    h = norm(name="last")(h)
    net = keras.Model(x, layers.Dense(3, activation="softmax", name="head")(h[:, 0]))
    rng = np.random.default_rng(1)
    for weight in net.weights:
        weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
    return net


def numbers(net, name):
    return [ops.convert_to_numpy(w).astype("float64") for w in net.get_layer(name).weights]


def linear_rule(x, weights, z, relevance):
    """R_i = sum over j of x_i w_ij R_j / z_j: the epsilon rule without epsilon."""
    found = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(z)):
            found[i] += x[i] * weights[i, j] * relevance[j] / z[j]
    return found


class Dense:
    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __call__(self, rows):
        self.x, self.z = rows, rows @ self.weight + self.bias
        return self.z

    def back(self, relevance):
        parts = zip(self.x, self.z, relevance, strict=True)
        return np.array([linear_rule(x, self.weight, z, r) for x, z, r in parts])


class Norm:
    """Linear but for the division by the deviation, through which relevance passes as it is."""

    def __init__(self, gamma, beta):
        self.shift = Dense(np.diag(gamma), beta)
        self.center = Dense(np.eye(WIDTH) - 1 / WIDTH, 0)

    def __call__(self, rows):
        centered = self.center(rows)
        return self.shift(centered / np.sqrt((centered**2).mean(1, keepdims=True) + 1e-3))

    def back(self, relevance):
        return self.center.back(self.shift.back(relevance))


class Attention:
    def __init__(self, wq, bq, wk, bk, wv, bv, wo, bo):
        one = [(w.reshape(WIDTH, WIDTH), b.ravel()) for w, b in ((wq, bq), (wk, bk), (wv, bv))]
        self.query, self.key, self.value = (Dense(w, b) for w, b in one)
        self.out = Dense(wo.reshape(WIDTH, WIDTH), bo)

    def __call__(self, rows):
        wide = WIDTH // HEADS
        self.q, self.k, self.v = (f(rows) for f in (self.query, self.key, self.value))
        self.q = self.q / np.sqrt(wide)
        self.x, self.a, self.o = (np.zeros((HEADS, TOKENS, n)) for n in (TOKENS, TOKENS, wide))
        for h in range(HEADS):
            at = slice(h * wide, (h + 1) * wide)
            self.x[h] = self.q[:, at] @ self.k[:, at].T
            self.a[h] = np.exp(self.x[h]) / np.exp(self.x[h]).sum(1, keepdims=True)
            self.o[h] = self.a[h] @ self.v[:, at]
        return self.out(np.concatenate(list(self.o), axis=1))

    def back(self, relevance):
        wide, relevance = WIDTH // HEADS, self.out.back(relevance)
        rq, rk, rv = np.zeros((3, TOKENS, WIDTH))
        for h in range(HEADS):
            r_a, r_x = np.zeros((2, TOKENS, TOKENS))
            for t, s, c in np.ndindex(TOKENS, TOKENS, wide):
                at = h * wide + c
                half = self.a[h, t, s] * self.v[s, at] / (2 * self.o[h, t, c]) * relevance[t, at]
                r_a[t, s] += half
                rv[s, at] += half
            for t, s in np.ndindex(TOKENS, TOKENS):
                r_x[t, s] = self.x[h, t, s] * (r_a[t, s] - self.a[h, t, s] * r_a[t].sum())
            for t, s, c in np.ndindex(TOKENS, TOKENS, wide):
                at = h * wide + c
                half = self.q[t, at] * self.k[s, at] / (2 * self.x[h, t, s]) * r_x[t, s]
                rq[t, at] += half
                rk[s, at] += half
        return self.query.back(rq) + self.key.back(rk) + self.value.back(rv)


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def by_hand(net, tokens, c):
    """Relevance `(T, K)` of the tokens for the score of a class, and the score."""
    h, undo = tokens.astype("float64"), []
    for i in range(DEPTH):
        norm, mix = Norm(*numbers(net, f"before_{i}")), Attention(*numbers(net, f"mix_{i}"))
        branch = mix(norm(h))
        undo.append((h, branch, [norm, mix]))
        h = h + branch
        norm = Norm(*numbers(net, f"between_{i}"))
        wide, narrow = (Dense(*numbers(net, f"{name}_{i}")) for name in ("wide", "narrow"))
        branch = narrow(gelu(wide(norm(h))))
        undo.append((h, branch, [norm, wide, narrow]))
        h = h + branch
    last, head = Norm(*numbers(net, "last")), Dense(*numbers(net, "head"))
    scores = head(last(h))
    relevance = np.zeros((TOKENS, 3))
    relevance[0, c] = scores[0, c]
    relevance = last.back(head.back(relevance))
    for x, branch, steps in reversed(undo):
        through = relevance * branch / (x + branch)
        for step in reversed(steps):
            through = step.back(through)
        relevance = relevance * x / (x + branch) + through
    return relevance, scores[0, c]


@pytest.fixture(scope="module")
def known():
    """A transformer, and its maps, which are compiled once."""
    net = transformer()
    return net, CAM(net, "attnlrp")


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, *SIZE, 3)).astype("float32")


def tokens_of(net, images):
    inner = keras.Model(net.input, net.get_layer("tokens").output)
    return ops.convert_to_numpy(inner(images)).astype("float64")


def test_equals_relevance_propagated_by_loops(known, images):
    net, cam = known
    before = ops.convert_to_numpy(net(images))
    found = cam.explain(images, 1)
    assert cam.layer_name == "tokens"
    for tokens, raw, score in zip(tokens_of(net, images), found.raw, found.scores, strict=True):
        relevance, expected = by_hand(net, tokens, 1)
        np.testing.assert_allclose(score, expected, rtol=1e-4)
        relevance = relevance.sum(1)[1:].reshape(GRID)
        np.testing.assert_allclose(raw, relevance, rtol=1e-3, atol=1e-3 * np.abs(relevance).max())
    assert found.maps.shape == (2, *SIZE)
    np.testing.assert_allclose(before, ops.convert_to_numpy(net(images)), atol=1e-6)


def test_attention_of_keras_ops_has_the_map_of_the_layer(known, images):
    (net, cam), other = known, transformer(attention_of_ops)
    for layer in other.layers:
        kind, _, block = layer.name.partition("_")
        if kind in "qkvo":
            two = numbers(net, f"mix_{block}")[2 * "qkvo".index(kind) :][:2]
            layer.set_weights([w.reshape(v.shape) for w, v in zip(two, layer.weights, strict=True)])
        elif layer.weights:
            layer.set_weights(net.get_layer(layer.name).get_weights())
    found = CAM(other, "attnlrp").explain(images, 1)
    np.testing.assert_allclose(found.raw, cam.explain(images, 1).raw, atol=1e-5)


KINDS = {
    "layers": {},
    "gates": {"attention": gated_attention},
    "another norm": {"norm": layers.RMSNormalization, "activation": "relu"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_with_what_biases_and_softmax_keep_relevance_is_the_score(kind, images):
    cam = CAM(transformer(**KINDS[kind], depth=1), "attnlrp")
    found = cam.completeness(images, [[0, 2]] * 2)
    assert np.abs(found.residual).max() <= 1e-4 * np.abs(found.score).max()


def test_the_map_is_linear_in_what_is_explained(known, images):
    _, cam = known
    first, second = (cam.explain(images, c).raw for c in (2, 0))
    between = cam.explain(images, targets.Difference(2, 0)).raw
    np.testing.assert_allclose(between, first - second, atol=1e-5)


def test_a_chosen_layer_is_one_that_everything_passes_through(known):
    net, _ = known
    with pytest.raises(ValueError, match="in a branch. .* Received: layer='narrow_0'."):
        CAM(net, "attnlrp", layer="narrow_0")


def test_operations_without_a_rule_are_refused():
    def mixed(h, i):
        return OwnAttention()(attention_layer(h, i))

    with pytest.raises(ValueError, match="no rule for: .* Expected: layers of .* OwnAttention"):
        CAM(transformer(mixed, depth=1), "attnlrp")


def test_networks_without_attention_are_refused():
    x = keras.Input((*SIZE, 3))
    net = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 2)(x))))
    with pytest.raises(ValueError, match="has no attention. Expected: layers of keras.layers.M"):
        CAM(net, "attnlrp")


def test_one_image_that_is_not_finite_leaves_the_others(known, images):
    _, cam = known
    spoiled = images.copy()
    spoiled[0, 1, 1] = np.nan
    found, clean = cam.explain(spoiled, 1).raw, cam.explain(images, 1).raw
    np.testing.assert_allclose(found[1], clean[1], atol=1e-5)
    assert np.isnan(found[0]).all()
