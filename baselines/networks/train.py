"""Training of a learner with early stopping, best weights and resumption of interrupted runs."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from baselines.networks.curves import EpochRecord, write_curves
from baselines.networks.learner import Learner
from baselines.networks.recipe import Recipe
from baselines.networks.run_record import CHECKPOINTS
from baselines.networks.tensors import Arrays, ordered_batches, training_batches
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.progress import StageProgress

BEST = "best"
LAST = "last"


def fit(
    learner: Learner, train: Arrays, val: Arrays, folder: Path, progress: StageProgress
) -> list[EpochRecord]:
    """Train `learner` and load the weights of its best epoch on val.

    Args:
        learner: Untrained learner with its recipe.
        train: Training images.
        val: Images of other patients for early stopping and the choice of weights.
        folder: Folder of checkpoints and curves; a last checkpoint in it is continued.
        progress: Progress callback, called after each batch with the losses of the last epoch.

    Returns:
        Record of each epoch, including earlier epochs of a resumed run.

    Raises:
        BenchError: The recipe needs more GPUs than exist (``baseline-no-gpu``, exit 3), or a checkpoint does
            not fit the network (``baseline-checkpoint``).
    """
    recipe = learner.recipe
    require_devices(recipe)
    checkpoints = folder / CHECKPOINTS
    stopper = _Stopper("val_loss", patience=recipe.patience, check_on_train_epoch_end=True)
    recorder = _Recorder(folder, recipe.epochs, progress)
    with _quiet(), bounded_threads(recipe.threads):
        trainer = Trainer(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            num_nodes=recipe.nodes,
            strategy="ddp" if recipe.processes > 1 else "auto",
            use_distributed_sampler=False,  # our samplers distribute the batches
            sync_batchnorm=recipe.processes > 1 and torch.cuda.is_available() and recipe.accelerator != "cpu",
            precision=recipe.precision,
            max_epochs=recipe.epochs,
            limit_train_batches=recipe.steps_per_epoch or 1.0,
            callbacks=[
                stopper,
                recorder,
                _checkpoint_callback(checkpoints, BEST, monitor="val_loss"),
                _checkpoint_callback(checkpoints, LAST, monitor=None),
            ],
            deterministic=True if recipe.accelerator == "cpu" else "warn",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        last = checkpoints / f"{LAST}.ckpt"
        if last.is_file():
            load_weights(learner, last)  # refuses what Lightning would fail on, or load in part
        batches = training_batches(train, recipe.batch, learner.seed, recipe.processes)
        judged = ordered_batches(val, recipe.batch, recipe.processes)
        _train(trainer, learner, batches, judged, last if last.is_file() else None)
        if not trainer.is_global_zero:
            raise SystemExit(0)  # the first process predicts and writes, the others are done
        load_weights(learner, checkpoints / f"{BEST}.ckpt")
    return recorder.records


def require_devices(recipe: Recipe) -> None:
    """Refuse a recipe that needs more GPUs than exist (``baseline-no-gpu``, exit 3)."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if recipe.accelerator == "gpu" and available < recipe.devices:
        available_text = f"{available}" if available else "none"
        message = f"The recipe asks for {recipe.devices} GPUs on this machine; torch finds {available_text}."
        raise BenchError(Problem("baseline-no-gpu", message), EXIT_ENVIRONMENT)


def load_weights(learner: Learner, path: Path) -> None:
    """Load all weights of a checkpoint.

    Raises:
        BenchError: The file is damaged or its weights do not fit the network (``baseline-checkpoint``).
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        learner.load_state_dict(state, strict=True)
    except Exception as error:  # torch raises pickle, zip, key and runtime errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"The checkpoint is not of this network or damaged: {reason[:200]}"
        raise BenchError(Problem("baseline-checkpoint", message, where=str(path))) from error


def _train(trainer: Trainer, learner: Learner, batches: Any, val: Any, last: Path | None) -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, batches, val, ckpt_path=last, weights_only=True)
    except SystemExit as stop:  # Lightning exits with code 0 on both signals
        if isinstance(stop, SIGTERMException) or isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from stop
        raise


def _checkpoint_callback(folder: Path, name: str, monitor: str | None) -> ModelCheckpoint:
    """Build the callback that keeps one checkpoint: the best epoch by `monitor`, or the latest."""
    return ModelCheckpoint(
        folder, filename=name, monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False
    )


class _Stopper(EarlyStopping):
    """Early stopping that also stops a resumed run which had stopped before."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class _Recorder(Callback):
    """Callback that records each epoch, also in the checkpoint, and reports progress."""

    def __init__(self, folder: Path, epochs: int, progress: StageProgress) -> None:
        self.folder = folder
        self.epochs = epochs
        self.progress = progress
        self.records: list[EpochRecord] = []
        self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        if trainer.is_global_zero:
            self._report(trainer.current_epoch, batch_idx + 1, int(trainer.num_training_batches))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, Learner):
            raise TypeError(f"{type(pl_module).__name__} is not a Learner")
        record = EpochRecord(
            epoch=trainer.current_epoch + 1,
            train_loss=pl_module.train_loss,
            val_loss=pl_module.val_loss,
            duration_s=time.perf_counter() - self._start,
        )
        self.records.append(record)
        if trainer.is_global_zero:
            write_curves(self.folder, self.records)
            self._report(record.epoch, 0, int(trainer.num_training_batches))

    def _report(self, epochs: int, batches: int, of: int) -> None:
        """Report one stage for the whole training, so that the remaining time can be estimated."""
        words = "training"
        if self.records:
            last = self.records[-1]
            words += f"; epoch {last.epoch}, train loss {last.train_loss:.4f}, val loss {last.val_loss:.4f}"
        self.progress(words, epochs * of + batches, self.epochs * of)

    def state_dict(self) -> dict[str, Any]:
        return {"records": [record.as_dict() for record in self.records]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.records = [EpochRecord(**record) for record in state_dict["records"]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's messages about deliberate settings."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.|torch\.")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def bounded_threads(threads: int) -> Iterator[None]:
    """Run torch with a fixed number of threads and restore its global state afterwards.

    The number does not depend on the machine, since sums depend on it.
    """
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)
