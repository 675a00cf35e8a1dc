"""Publish folders on a model hub and load them, through `huggingface_hub`: `hf://OWNER/NAME`.

The variables of that library (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`) set the hub, the token and the
cache.
"""

import re
from pathlib import Path

from zoo.datasets.reading._extras import need

SCHEME = "hf://"
NEEDED = ("model.keras", "*.json", "README.md")
_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def is_name(path: str | Path) -> bool:
    """Whether this is the name of a model on the hub, not a path."""
    return str(path).startswith(SCHEME)


def fetch(name: str, *, whole: bool = True) -> Path:
    """The local folder of a model on the hub; downloaded once, cached by `huggingface_hub`.

    Args:
        name: `hf://OWNER/NAME`, or `hf://OWNER/NAME@REVISION` for a branch, tag or commit.
        whole: also pictures and SavedModels, not only model, card and facts.

    Raises:
        ValueError: the name is of another form.
        ImportError: `huggingface_hub` is missing.
        OSError: there is no such model, or it cannot be reached.
    """
    identity, revision = _parsed(name)
    hub = need("huggingface_hub", extra="hub", purpose="Fetching a model from a hub")
    try:
        found = hub.snapshot_download(
            identity, revision=revision, allow_patterns=None if whole else list(NEEDED)
        )
    except OSError as error:
        raise OSError(
            f"{name} cannot be fetched. Expected: a model that {hub.constants.ENDPOINT} has and "
            f"lets you read. Received: {_short(error)}."
        ) from error
    return Path(found)


def publish(folder: str | Path, name: str, *, private: bool = False) -> str:
    """Publish the folder of a run or preset in one commit; returns the address of the commit.

    The repository is created if there is none. Checkpoints and the runs of other seeds are not
    published.

    Args:
        folder: with `model.keras` and the card `README.md`.
        name: `hf://OWNER/NAME`, or `hf://OWNER/NAME@BRANCH`.
        private: create a private repository.

    Raises:
        FileNotFoundError: the folder contains no model or no card.
        ValueError, ImportError, OSError: as `fetch`.
    """
    identity, revision = _parsed(name)
    folder = Path(folder)
    missing = [part for part in ("model.keras", "README.md") if not (folder / part).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} cannot be published. Expected: the folder of a run or a preset, with a "
            f"model and its card. Received: no {' and no '.join(missing)}."
        )
    hub = need("huggingface_hub", extra="hub", purpose="Publishing a model on a hub")
    api = hub.HfApi()
    try:
        api.create_repo(identity, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=identity,
            folder_path=folder,
            revision=revision,
            commit_message=f"Publish {folder.resolve().name}",
            ignore_patterns=["checkpoint/**", "seed-*/**", ".*", "**/.*"],
        )
    except OSError as error:
        raise OSError(
            f"{folder} cannot be published as {name}. Expected: a hub that lets you write there "
            f"(`hf auth login`, or the variable HF_TOKEN). Received: {_short(error)}."
        ) from error
    return commit.commit_url


def _parsed(name: str) -> tuple[str, str | None]:
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(
            "The name of a model on the hub has another form. Expected: hf://OWNER/NAME, or "
            f"hf://OWNER/NAME@REVISION. Received: {name!r}."
        )
    return found[1], found[2]


def _short(error: OSError) -> str:
    """The library's reason, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
