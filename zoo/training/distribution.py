"""Training on several devices or processes, with the weights of one device.

    mirrored    TensorFlow: the devices of this machine, `tf.distribute.MirroredStrategy`
    processes   JAX: one process a machine or device, `keras.distribution.DataParallel`

Every step uses the batch of one device: each device takes its rows of it, losses compare all rows,
batch normalization uses the statistics of all rows.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import keras

from zoo.training.experiments import Experiment


class Share(keras.utils.PyDataset):
    """The rows of each batch that belong to one process of `count`, in order."""

    def __init__(self, batches: Any, process: int, count: int):
        super().__init__(workers=batches.workers, max_queue_size=batches.max_queue_size)
        self.batches, self.process, self.count = batches, process, count

    @property
    def epoch(self) -> int:
        """The epoch that the batches are in."""
        return self.batches.epoch

    @epoch.setter
    def epoch(self, value: int):
        self.batches.epoch = value

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int):
        return keras.tree.map_structure(self._rows, self.batches[index])

    def _rows(self, array):
        share = len(array) // self.count
        return array[self.process * share : (self.process + 1) * share]

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()


def check_even(batches: Any, count: int) -> None:
    rows = len(keras.tree.flatten(batches[0])[0])
    if rows % count:
        raise ValueError(
            "The batch cannot be divided among the devices. Expected: a number of rows that "
            f"{count} divides, so that every device has as many. Received: {rows}."
        )


def over_replicas(model: keras.Model, on: bool = True) -> None:
    """Losses compare the rows of all replicas, batch normalisation counts over them; or no more."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = on
    for loss in keras.tree.flatten(getattr(model, "loss", None)):
        if hasattr(loss, "gather_over_replicas"):
            loss.gather_over_replicas(on)


WAYS = ("mirrored", "processes")
UPSTREAM = (
    "MultiWorkerMirroredStrategy cannot run Keras 3's fit, which fails with 'PerReplica ... "
    "unsupported type to a Tensor' (open upstream: keras-team/keras#20585)."
)
REMEDY = (
    "KERAS_BACKEND=jax keras-metric train NAME --distribute processes --coordinator HOST:PORT "
    "--processes N --process 0 (to N - 1, one in each process), or --distribute mirrored for the "
    "GPUs of one machine"
)


@dataclass(frozen=True)
class Distribution:
    """How training is distributed; `Distribution()` is one device.

    Args:
        way: "mirrored", "processes" or None.
        devices: for "mirrored": number of GPUs, all by default; without GPUs, of logical CPUs.
        coordinator: for "processes": host and port of process 0.
        processes, process: number of processes, and the index of this one.

    Raises:
        ValueError: a way that does not work, or not with this backend or machine.
    """

    way: str | None = None
    devices: int | None = None
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    _strategy: list[Any] = field(default_factory=list, init=False, compare=False, repr=False)

    def __post_init__(self):
        _refuse_workers(self.way)
        if self.way is not None and self.way not in WAYS:
            raise ValueError(
                f"Unknown way to distribute. Expected: one of {', '.join(WAYS)}. "
                f"Received: {self.way!r}."
            )
        _check_options(self)
        needed = {"mirrored": "tensorflow", "processes": "jax"}.get(self.way)
        if needed not in (None, keras.config.backend()):
            raise ValueError(
                f"The way {self.way!r} needs another backend. Expected: KERAS_BACKEND={needed}. "
                f"Received: {keras.config.backend()}."
            )

    @property
    def writes(self) -> bool:
        """Whether this process writes the run; of several processes only one does."""
        return not self.process

    def begin(self) -> int:
        """Find the devices, connect the processes; returns the number that share a batch."""
        if self.way == "mirrored":
            if not self._strategy:
                self._strategy.append(_mirrored(self.devices))
            return self._strategy[0].num_replicas_in_sync
        if self.way == "processes":
            _connect(self)
            return self.processes or 1
        return 1

    @contextmanager
    def scope(self) -> Iterator[None]:
        """The context in which models are built and trained."""
        with self._strategy[0].scope() if self._strategy else nullcontext():
            yield

    def share(self, experiment: Experiment) -> Experiment:
        """The experiment distributed over all devices, with the same steps as on one device.

        Raises:
            ValueError: a batch size that is not divisible by the number of devices.
        """
        count = self.begin()
        if count == 1:
            return experiment
        for batches in filter(None, (experiment.batches, experiment.validation)):
            check_even(batches, count)
        if self.way == "mirrored":
            over_replicas(experiment.model)
            return experiment
        shares = (
            batches and Share(batches, self.process, count)
            for batches in (experiment.batches, experiment.validation)
        )
        return Experiment(experiment.model, *shares, experiment.callbacks)

    def meet(self, place: str) -> None:
        """Wait until all processes are here."""
        if self.way == "processes":
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(place)

    def agree(self, number: int, what: str) -> None:
        """Raise an error if the processes do not have the same `number`."""
        if self.way != "processes":
            return
        from jax.experimental import multihost_utils

        first = int(multihost_utils.broadcast_one_to_all(number))
        if first != number:
            raise ValueError(
                f"The processes do not agree on {what}. Expected: {first}, as process 0; they "
                f"share one folder. Received: {number} in process {self.process}."
            )

    def leave(self, model: keras.Model) -> None:
        """End the distribution: one process continues on one device, with the reloaded model."""
        if self.way == "mirrored":
            over_replicas(model, on=False)
        if self.way == "processes":
            keras.distribution.set_distribution(None)

    def __str__(self) -> str:
        count = self._strategy[0].num_replicas_in_sync if self._strategy else self.processes
        return f"{self.way}, {count} devices" if self.way else "one device"


def _refuse_workers(way: str | None) -> None:
    """Raise an error for several TensorFlow workers, requested by name or by TF_CONFIG."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    except (json.JSONDecodeError, AttributeError):
        cluster = {}
    workers = sum(len(cluster.get(kind, ())) for kind in ("chief", "worker"))
    asked = (way or "").lower().replace("-", "").replace("_", "").startswith("multiworker")
    if asked or (workers > 1 and way != "processes"):
        received = repr(way) if asked else f"TF_CONFIG with {workers} workers"
        raise ValueError(f"{UPSTREAM} Expected: {REMEDY}. Received: {received}.")


def _check_options(wanted: Distribution) -> None:
    where = (wanted.coordinator, wanted.processes, wanted.process)
    if wanted.way == "processes":
        fits = None not in where and wanted.processes > 1
        if not fits or not 0 <= wanted.process < wanted.processes or wanted.devices is not None:
            raise ValueError(
                "The processes are not configured. Expected: coordinator HOST:PORT, the "
                "number of processes (2 or more), which of them this is (from 0 on), and no "
                f"devices. Received: {where}, devices {wanted.devices}."
            )
    elif where != (None, None, None) or (wanted.way is None and wanted.devices is not None):
        raise ValueError(
            "An option of distribution has no meaning here. Expected: devices for 'mirrored'; "
            "coordinator, processes and process for 'processes'. Received: "
            f"{where}, devices {wanted.devices}, for {wanted.way!r}."
        )


def _mirrored(devices: int | None):
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    if not gpus and devices:
        _split_cpu(devices)
    kind = "GPU" if gpus else "CPU"
    found = [f"{kind}:{k}" for k in range(len(tf.config.list_logical_devices(kind)))]
    if len(found) < 2 or len(found) < (devices or 2):
        raise ValueError(
            "There are too few devices to mirror. Expected: two GPUs or more, or --devices N to "
            f"try it on N logical CPUs. Received: {len(found)} {kind}."
        )
    return tf.distribute.MirroredStrategy(found[:devices])


def _split_cpu(count: int) -> None:
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        raise ValueError(
            "Logical CPUs cannot be made any more. Expected: to be asked before TensorFlow "
            f"computes anything. Received: {error}."
        ) from error


def _connect(wanted: Distribution) -> None:
    import jax

    if not jax.distributed.is_initialized():
        keras.distribution.initialize(wanted.coordinator, wanted.processes, wanted.process)
    if keras.distribution.distribution() is None:
        spread = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(spread)


ONE_DEVICE = Distribution()
