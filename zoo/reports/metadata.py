"""The YAML metadata of a model card, by which hubs list, filter and compare models.

The keys are those of the Hugging Face hub: https://huggingface.co/docs/hub/model-cards.
"""

import json
from typing import Any

from zoo.recipe import Recipe

LICENSES = {"MIT": "mit", "CC BY 4.0": "cc-by-4.0", "CC0": "cc0-1.0", "Apache-2.0": "apache-2.0"}


def front_matter(recipe: Recipe, report: dict[str, Any]) -> list[str]:
    """The lines of a card's head, from `---` to `---`.

    The license is that of the training data if hubs know it, else `other`. The result of several
    seeds is their mean.
    """
    license, data = report["data"]["license"], recipe.name.partition("-")[0]
    return [
        "---",
        f"license: {_license(license)}",
        *([] if _license(license) != "other" else [f"license_name: {_text(license)}"]),
        "library_name: keras",
        f"pipeline_tag: {recipe.task}",
        "tags:",
        *(f"- {tag}" for tag in ("keras-metric", *TAGS[recipe.task])),
        "model-index:",
        f"- name: {recipe.name}",
        "  results:",
        "  - task:",
        f"      type: {recipe.task}",
        "    dataset:",
        f"      name: {_text(report['data']['test'])}",
        f"      type: {data}",
        "    metrics:",
        *(line for result in report["results"].items() for line in _metric(*result)),
        "---",
        "",
    ]


TAGS = {
    "image-feature-extraction": ("metric-learning", "image-retrieval"),
    "image-classification": ("class-activation-map",),
    "image-segmentation": ("fully-convolutional",),
    "object-detection": ("fully-convolutional",),
}


def plain_front_matter() -> list[str]:
    """The metadata of a card without results."""
    return ["---", "library_name: keras", "tags:", "- keras-metric", "---", ""]


def _license(words: str) -> str:
    """The hub's name of a license, or `other` where there are several or an unknown one."""
    found = [name for title, name in LICENSES.items() if words.startswith(title)]
    return found[0] if found and ";" not in words else "other"


def _metric(name: str, value: Any) -> list[str]:
    value = value["mean"] if isinstance(value, dict) else value
    mantissa, exponent, power = f"{value:.6g}".partition("e")
    point = ".0" if exponent and "." not in mantissa else ""  # 1e-07 is a text in YAML
    return [f"    - type: {_text(name)}", f"      value: {mantissa}{point}{exponent}{power}"]


def _text(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)  # quoted JSON is quoted YAML
