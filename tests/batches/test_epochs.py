"""The epoch of a batch: what fit does to it, and that a resumed run sees the same batches."""

import keras
import numpy as np
import pytest

from keras_metric.batches import PairBatches, PKBatches, TripletBatches

LABELS = np.repeat(np.arange(6), 5)
IMAGES = np.arange(30, dtype="float32").reshape(30, 1)


def pk(**options):
    return PKBatches(IMAGES, LABELS, classes_per_batch=2, images_per_class=2, **options)


class Spy(PKBatches):
    """Writes down (epoch, rows) of all batches that Keras asks for."""

    seen = None

    def batch(self, epoch, number):
        images, labels = super().batch(epoch, number)
        if self.seen is not None:
            self.seen.setdefault(epoch, {})[number] = images[:, 0].tolist()
        return images, labels


def spied(**options):
    batches = Spy(
        IMAGES, LABELS, classes_per_batch=2, images_per_class=2, batches_per_epoch=4, **options
    )
    batches.seen = {}
    return batches


class EpochsOf(keras.callbacks.Callback):
    """The epoch the batches were in while `fit` trained each of its epochs."""

    def __init__(self, batches):
        super().__init__()
        self.batches, self.found = batches, []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.found.append(self.batches.epoch)


def model(built):
    layer = keras.layers.Dense(1)
    net = keras.Sequential([keras.Input((1,)), layer] if built else [layer])
    net.compile(optimizer=keras.optimizers.SGD(1e-5), loss="mse", metrics=["mae"])
    return net


@pytest.mark.diagonal
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_fit_trains_on_epochs_0_1_2(built, workers):
    batches = spied(workers=workers)
    record = EpochsOf(batches)
    net = model(built)
    net.fit(batches, epochs=3, verbose=0, shuffle=False, callbacks=[record])
    assert record.found == [0, 1, 2]
    assert batches.epoch == 3
    assert sorted(batches.seen) == [0, 1, 2]


@pytest.mark.diagonal
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_resumed_fit_sees_the_batches_of_an_unbroken_one(built, workers):
    whole, rest = spied(workers=workers), spied(workers=workers)
    model(built).fit(whole, epochs=4, verbose=0, shuffle=False)
    rest.epoch = 2
    record = EpochsOf(rest)
    model(built).fit(rest, initial_epoch=2, epochs=4, verbose=0, shuffle=False, callbacks=[record])
    assert record.found == [2, 3]
    assert rest.seen == {epoch: whole.seen[epoch] for epoch in (2, 3)}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras
def test_resumed_weights_equal_unbroken_weights(tmp_path):
    def start():
        keras.utils.set_random_seed(7)
        return model(built=True)

    unbroken, first = start(), start()
    unbroken.fit(pk(), epochs=4, verbose=0, shuffle=False)
    first.fit(pk(), epochs=2, verbose=0, shuffle=False)
    first.save(tmp_path / "half.keras")
    second, batches = keras.models.load_model(tmp_path / "half.keras"), pk()
    batches.epoch = 2
    second.fit(batches, initial_epoch=2, epochs=4, verbose=0, shuffle=False)
    for ours, theirs in zip(second.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_second_fit_goes_on_where_the_first_stopped():
    batches, net = spied(), model(built=True)
    record = EpochsOf(batches)
    for _ in range(2):
        net.fit(batches, epochs=2, verbose=0, shuffle=False, callbacks=[record])
    assert record.found == [0, 1, 2, 3]


def test_fixed_batches_stay_those_of_epoch_0():
    fixed, moving = pk(fixed=True), pk()
    expected = fixed[1][0].copy()
    fixed.epoch = moving.epoch = 5
    np.testing.assert_array_equal(fixed[1][0], expected)
    assert not np.array_equal(moving[1][0], expected)


def test_validation_does_not_move_fixed_batches():
    held_out = spied(fixed=True)
    model(True).fit(pk(), epochs=3, validation_data=held_out, verbose=0)
    assert list(held_out.seen) == [0]


MAKERS = {
    "pk": pk,
    "pairs": lambda **o: PairBatches(IMAGES, LABELS, batch_size=4, **o),
    "triplets": lambda **o: TripletBatches(IMAGES, LABELS, batch_size=4, **o),
}


def flat(batch):
    inputs, targets = batch
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    return np.concatenate([np.ravel(part) for part in (*parts, targets)])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
class TestEveryKind:
    def test_a_batch_depends_on_seed_epoch_and_index_only(self, make):
        one, other = make(seed=3), make(seed=3)
        one.epoch = other.epoch = 4
        [one[index] for index in (2, 0, 1)]
        np.testing.assert_array_equal(flat(one[1]), flat(other[1]))

    def test_seed_epoch_and_index_each_change_it(self, make):
        start, other_seed, later = make(seed=3), make(seed=4), make(seed=3)
        later.epoch = 1
        for changed in (start[1], other_seed[0], later[0]):
            assert not np.array_equal(flat(start[0]), flat(changed))

    def test_shards_make_up_the_epoch(self, make):
        whole = make(batches_per_epoch=4)
        shards = [make(batches_per_epoch=2, shard=(i, 2)) for i in (0, 1)]
        for index in range(4):
            np.testing.assert_array_equal(flat(whole[index]), flat(shards[index % 2][index // 2]))

    def test_shards_share_the_default_length(self, make):
        assert len(make()) == 7
        assert len(make(shard=(1, 2))) == 3

    def test_augment_is_repeatable_and_its_own(self, make):
        def jitter(rng, images):
            return images + rng.normal(size=images.shape).astype("float32")

        one, other = make(augment=jitter), make(augment=jitter)
        np.testing.assert_array_equal(flat(one[2]), flat(other[2]))
        plain = make()
        inputs, moved = plain[2][0], one[2][0]
        np.testing.assert_array_equal(np.ravel(one[2][1]), np.ravel(plain[2][1]))
        assert not np.array_equal(np.asarray(inputs), np.asarray(moved))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"seed": -1}, "seed"),
            ({"shard": (2, 2)}, "shard"),
            ({"augment": 3}, "augment"),
            ({"batches_per_epoch": 0}, "batches_per_epoch"),
        ],
    )
    def test_refuses(self, make, options, words):
        with pytest.raises(ValueError, match=f"{words}.*Expected.*Received"):
            make(**options)

    @pytest.mark.parametrize(
        ("augment", "received"),
        [
            (lambda rng, x: None, r"object of shape \(\)"),
            (lambda rng, x: x[1:], "float"),
            (lambda rng, x: x[..., None], "float"),
            (lambda rng, x: x.astype(str), "<U"),
        ],
        ids=["nothing", "fewer", "another rank", "words"],
    )
    def test_refuses_what_augment_makes_of_the_images(self, make, augment, received):
        with pytest.raises(ValueError, match=f"augment must.*Expected.*Received: {received}"):
            make(augment=augment)[0]

    def test_refuses_an_epoch_before_the_first_and_an_index_beyond_the_last(self, make):
        batches = make()
        with pytest.raises(ValueError, match=r"epoch.*Expected.*Received: epoch=-1"):
            batches.epoch = -1
        with pytest.raises(IndexError, match=r"Expected: an index from 0 to .*Received: 100"):
            batches[100]


@pytest.mark.parametrize("built", [True, False])
def test_the_number_of_workers_changes_no_weight(built):
    weights = []
    for workers in (1, 3):
        keras.utils.set_random_seed(4)
        net, batches = model(built), pk(workers=workers, batches_per_epoch=5)
        net.compile(keras.optimizers.SGD(1e-4), "mse")
        net.fit(batches, epochs=3, shuffle=False, verbose=0)
        assert batches.epoch == 3
        weights.append(np.concatenate([w.ravel() for w in net.get_weights()]))
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize("options", [{"workers": 3}, {"workers": 2, "use_multiprocessing": True}])
def test_batches_computed_ahead_are_those_asked_for(options):
    plain, ahead = pk(batches_per_epoch=6), pk(batches_per_epoch=6, max_queue_size=2, **options)
    for epoch, index in [(0, 1), (0, 0), (0, 5), (0, 2), (1, 3), (0, 3), (2, 0), (2, 0), (2, 5)]:
        plain.epoch = ahead.epoch = epoch
        for expected, found in zip(plain[index], ahead[index], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert len(ahead._ahead._waiting) <= 3


def test_what_fails_in_a_worker_is_raised_where_the_batch_is_asked_for():
    def broken(rng, images):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        pk(workers=2, augment=broken)[0]


@pytest.mark.parametrize("options", [{"workers": -1}, {"workers": 1.5}, {"max_queue_size": 0}])
def test_workers_and_queue_are_whole_numbers(options):
    with pytest.raises(ValueError, match=r"out of range. Expected.*Received"):
        pk(**options)
