"""Windows of scenes, with the class of the glyph in their middle, or none: to train a detector."""

import numpy as np

from zoo.datasets.batches import DrawnBatches
from zoo.datasets.scenes.scenes import Scene, Scenes

WINDOWS = 12  # drawn from each scene


class SceneWindows(DrawnBatches):
    """`(windows (B, side, side, 1) uint8, labels (B,) int32)`, drawn from scenes of boxes "frame".

    Half of a batch have a glyph in their middle, moved by up to `near` pixels along each axis: the
    label is its class. The others miss every glyph's middle by more than `far` pixels along one
    axis, and half of those only just, by no more than 2.5 `far`: their label is the number of
    classes, "nothing". Windows in between are not used. Outside of the scene pixels are 0.
    """

    def __init__(
        self,
        scenes: Scenes,
        batch_size: int,
        *,
        side: int,
        near: int,
        far: int,
        batches_per_epoch: int,
        fixed: bool = False,
    ):
        if not 0 <= near < far:
            raise ValueError(
                "near and far are out of order. Expected: 0 <= near < far, in pixels. "
                f"Received: near={near}, far={far}."
            )
        super().__init__(
            len(scenes),
            batch_size,
            seed=scenes.seed,
            batches_per_epoch=batches_per_epoch,
            fixed=fixed,
        )
        self.scenes = scenes
        self.side, self.near, self.far = side, near, far

    def batch(self, epoch: int, number: int):
        rng = self.random(epoch, 0, number)
        needed = -(-self.batch_size // WINDOWS)
        first = (epoch * self.batches_per_epoch + number) * needed
        drawn = [self._of(rng, self.scenes[(first + k) % len(self.scenes)]) for k in range(needed)]
        windows, labels = (np.concatenate(part) for part in zip(*drawn, strict=True))
        return windows[: self.batch_size], labels[: self.batch_size].astype(np.int32)

    def _of(self, rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        middles = (scene.boxes[:, 1::-1] + scene.boxes[:, :1:-1]) / 2
        shown = rng.integers(len(middles), size=WINDOWS // 2) if len(middles) else []
        places = [middles[k] + rng.uniform(-self.near, self.near, 2) for k in shown]
        while len(places) < WINDOWS:
            just = len(places) % 2 == 0 and len(middles) > 0
            beside = middles[rng.integers(len(middles))] if just else None
            places.append(self._elsewhere(rng, scene.image.shape[:2], middles, beside))
        labels = np.full(WINDOWS, len(self.scenes.names))
        labels[: len(shown)] = scene.labels[shown]
        return self._cut(scene.image, np.array(places)), labels

    def _elsewhere(self, rng, size: tuple[int, int], middles, beside) -> np.ndarray:
        """A place that misses all middles: near `beside`, or anywhere when that is None."""
        for _ in range(50):
            place = rng.uniform(0, size)
            if beside is not None:
                place = beside + rng.uniform(-2.5 * self.far, 2.5 * self.far, 2)
            if (np.abs(middles - place).max(1) > self.far).all():
                return place
        return np.array([-self.side, -self.side])  # none in a crowd: what lies outside

    def _cut(self, image: np.ndarray, places: np.ndarray) -> np.ndarray:
        side = self.side
        padded = np.pad(image, ((side, side), (side, side), (0, 0)))
        corners = np.rint(places - side / 2).astype(int) + side
        room = np.array(padded.shape[:2]) - side
        return np.stack([padded[a : a + side, b : b + side] for a, b in np.clip(corners, 0, room)])
