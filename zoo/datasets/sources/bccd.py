"""BCCD: blood cells under the microscope, 640 x 480, with boxes around red and white ones.

The home's own split: 205 pictures to learn from and 87 to choose on. Its 72 test pictures are not
read. https://github.com/Shenggan/BCCD_Dataset, MIT.
"""

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from zoo.datasets.reading import voc
from zoo.datasets.reading._extras import need
from zoo.datasets.reading.archives import read_members
from zoo.datasets.reading.downloads import cache_folder, fetch_checked
from zoo.datasets.scenes.boxed import Boxed

NAMES = ("RBC", "WBC", "Platelets")
SIZE = (480, 640)

_COMMIT = "ec96fe4104e9bb329f0d263db95cf1edd8c09909"
_HOME = f"https://github.com/Shenggan/BCCD_Dataset/archive/{_COMMIT}.zip"
_LARGEST = 64 * 2**20
_SHA256 = "786f1e9944951dabe7e82cbe3b0f652df4a718135eee927dd521607fc7a53ad3"
_NUMBERS = {
    "train": """
001 003 004 005 006 008 009 010 012 013 020 022 023 024 026 032 034 036 038 039 040 042 043 044
045 046 047 048 049 050 052 054 056 059 069 070 071 076 078 079 081 082 083 086 087 090 091 092
094 095 097 100 101 106 107 108 110 112 113 114 117 120 123 124 126 127 133 134 139 141 142 144
150 154 156 158 159 160 163 164 165 166 168 170 174 175 176 177 179 182 187 189 190 191 195 196
197 198 199 200 201 202 203 204 206 210 211 212 214 215 224 231 232 235 237 239 240 242 243 247
248 250 251 252 254 256 257 258 259 263 264 265 266 267 268 270 273 275 276 278 279 281 283 288
289 291 292 294 295 297 299 300 301 302 305 307 308 309 311 313 314 317 318 322 324 325 332 335
336 339 343 344 345 347 348 351 353 354 355 356 357 359 361 362 364 369 370 371 372 374 376 377
378 379 382 384 387 388 393 395 400 403 404 405 408""",
    "validation": """
000 002 014 017 028 029 030 035 037 053 055 064 066 072 073 089 099 104 109 111 115 125 130 140
143 145 147 148 152 162 183 192 193 207 209 216 217 218 219 221 222 223 228 230 236 241 244 245
246 255 260 261 262 269 272 274 277 285 298 304 310 312 315 326 330 331 334 337 338 340 342 349
350 352 367 368 381 383 386 389 392 396 397 398 402 409 410""",
}


def load(split: str = "train", data: str | Path | None = None, *, shrink: int = 1) -> Boxed:
    """The pictures of one split, "train" or "validation", in the order of their numbers.

    `shrink` makes both sides that many times smaller (means of squares of pixels); boxes go along.

    The files are looked for in the folder `data`, else in the one that KERAS_METRIC_DATA names
    (each may be the folder of the data set itself or hold it as `bccd/` or `BCCD/`), else in the
    cache (KERAS_METRIC_CACHE, else ~/.cache/keras-metric), where they are downloaded to.

    Raises `ValueError` for an unknown split, a `shrink` that does not divide both sides, or files
    that are not the published ones; `FileNotFoundError` when `data` lacks them; `ConnectionError`
    when the download fails.
    """
    if split not in _NUMBERS or shrink < 1 or any(side % shrink for side in SIZE):
        raise ValueError(
            f"Unknown split or shrink. Expected: a split among {', '.join(_NUMBERS)} and a "
            f"shrink that divides {SIZE[0]} and {SIZE[1]}. Received: {split!r}, shrink={shrink!r}."
        )
    contents = _contents(data)
    images, boxes, labels = [], [], []
    for stem in _stems(split):
        found = voc.parse(contents[f"{stem}.xml"], f"{stem}.xml")
        images.append(_pixels(contents[f"{stem}.jpg"], f"{stem}.jpg", shrink))
        boxes.append(found.boxes / shrink)
        labels.append([NAMES.index(name) for name in found.names])
    return Boxed(np.stack(images), boxes, labels, NAMES)


def _stems(*splits: str) -> list[str]:
    return [f"BloodImage_00{number}" for split in splits for number in _NUMBERS[split].split()]


def _contents(data: str | Path | None) -> dict[str, bytes]:
    """File name -> bytes of the pictures and annotations of both splits, the published ones."""
    given = data if data is not None else os.environ.get("KERAS_METRIC_DATA")
    if given is not None:
        for folder in (Path(given), Path(given) / "bccd", Path(given) / "BCCD"):
            if (folder / "Annotations").is_dir():
                return _checked(_folder_contents(folder), folder)
    if data is not None:
        raise FileNotFoundError(
            f"The folder has no BCCD. Expected: Annotations and JPEGImages in {data} or "
            f"{Path(data) / 'bccd'}. Received: neither. Leave `data` out to download it."
        )
    archive = fetch_checked(
        _HOME,
        cache_folder() / "bccd" / f"{_COMMIT[:12]}.zip",
        check=_archive_contents,
        most=_LARGEST,
    )
    return _archive_contents(archive)


def _folder_contents(folder: Path) -> dict[str, bytes]:
    paths = [
        folder / part / f"{stem}{suffix}"
        for stem in _stems(*_NUMBERS)
        for part, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg"))
    ]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def _archive_contents(path: Path) -> dict[str, bytes]:
    found = {**read_members(path, ".xml"), **read_members(path, ".jpg")}
    return _checked({PurePosixPath(name).name: content for name, content in found.items()}, path)


def _checked(contents: dict[str, bytes], source: Path) -> dict[str, bytes]:
    """The files wanted, if all are there and all are the published ones."""
    wanted = sorted(stem + suffix for stem in _stems(*_NUMBERS) for suffix in (".jpg", ".xml"))
    missing = [name for name in wanted if name not in contents]
    received = _digest(contents[name] for name in wanted if name in contents)
    if missing or received != _SHA256:
        raise ValueError(
            f"{source} is not the published BCCD. Expected: {len(wanted)} files with the joint "
            f"sha256 {_SHA256}. Received: {len(missing)} missing"
            f"{f' ({missing[0]}, ...)' if missing else ''}, sha256 {received}."
        )
    return {name: contents[name] for name in wanted}


def _digest(contents: Iterable[bytes]) -> str:
    """The sha256 of the sha256s."""
    joint = hashlib.sha256()
    for content in contents:
        joint.update(hashlib.sha256(content).digest())
    return joint.hexdigest()


def _pixels(content: bytes, name: str, shrink: int) -> np.ndarray:
    image_module = need("PIL.Image", extra="plots", purpose="Reading BCCD")
    try:
        with image_module.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.size == SIZE[::-1]:
                return np.asarray(image.convert("RGB").reduce(shrink))
            received = f"{image.width} x {image.height}"
    except (OSError, SyntaxError, ValueError) as error:
        received = f"{type(error).__name__}: {error}"
    raise ValueError(
        f"The picture {name} cannot be read. Expected: a JPEG of {SIZE[1]} x {SIZE[0]}. "
        f"Received: {received}."
    )
