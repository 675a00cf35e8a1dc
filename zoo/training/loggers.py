"""`--log`: a training's values for TensorBoard, a CSV file, MLflow or Weights & Biases, by the
callbacks that Keras or those libraries bring."""

import os
from pathlib import Path

import keras

from zoo.datasets.reading._extras import need

KINDS = ("tensorboard", "csv", "mlflow", "wandb")


def check(kind: str) -> None:
    """Raise, before any work, for an unknown kind or one whose package is missing.

    Raises:
        ValueError: no such kind.
        ImportError: its package is not installed.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no such log. Expected: {', '.join(KINDS)}. Received: {kind!r}.")
    if kind == "tensorboard":
        need("tensorboard", extra="log", purpose="A log for TensorBoard")
        need("tensorflow", extra="cpu", purpose="A log for TensorBoard")
    elif kind != "csv":
        need(kind, extra="log", purpose=f"A log for {kind}")


def logger(kind: str, folder: Path, settings: dict) -> keras.callbacks.Callback:
    """The callback that logs a run in `folder`; its files are there, too, but those of MLflow.

    - "tensorboard": `keras.callbacks.TensorBoard` into `logs`.
    - "csv": `keras.callbacks.CSVLogger` into `log.csv`; a training that goes on appends.
    - "mlflow": a run of MLflow, on the server that MLFLOW_TRACKING_URI names, or in `mlruns`; the
      settings are its parameters.
    - "wandb": `wandb.integration.keras.WandbMetricsLogger`; WANDB_MODE=offline keeps it here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "tensorboard":
        return keras.callbacks.TensorBoard(str(folder / "logs"), write_graph=False)
    if kind == "csv":
        return keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True)
    return _mlflow(folder, settings) if kind == "mlflow" else _wandb(folder, settings)


def _mlflow(folder: Path, settings: dict) -> keras.callbacks.Callback:
    mlflow = need("mlflow", extra="log", purpose="A log for mlflow")
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri((folder / "mlruns").absolute().as_uri())

    class Logged(keras.callbacks.Callback):
        """Opens a run of MLflow, logs every epoch, closes it."""

        def on_train_begin(self, logs=None):
            mlflow.start_run(run_name=folder.name)
            mlflow.log_params({key: value for key, value in settings.items() if value != ""})

        def on_epoch_end(self, epoch, logs=None):
            mlflow.log_metrics(
                {_word(k): float(v) for k, v in (logs or {}).items()}, step=epoch + 1
            )

        def on_train_end(self, logs=None):
            mlflow.end_run()

    return Logged()


def _word(name: str) -> str:
    """MLflow takes no @ in the name of a value."""
    return name.replace("@", "_at_")


def _wandb(folder: Path, settings: dict) -> keras.callbacks.Callback:
    wandb = need("wandb", extra="log", purpose="A log for wandb")
    wandb.init(project="keras-metric", name=folder.name, dir=str(folder), config=dict(settings))
    logger = need("wandb.integration.keras", extra="log", purpose="A log for wandb")

    class Logged(logger.WandbMetricsLogger):
        """Ends the run of W&B with the training."""

        def on_train_end(self, logs=None):
            super().on_train_end(logs)
            wandb.finish()

    return Logged()
