"""The commands that mend: what to install for which driver, and where the loader looks."""

import re

from zoo.gpu.facts import Facts

OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}  # NVIDIA, CUDA Compatibility, minor versions, table 1
DRIVER_PAGE = "https://www.nvidia.com/drivers"
LIST_DEVICES = {
    "tensorflow": (
        "TF_CPP_MIN_LOG_LEVEL=0 TF_CPP_VMODULE=dso_loader=1 "
        'python -c "import tensorflow as tf; print(tf.config.list_physical_devices())"'
    ),
    "jax": 'JAX_LOGGING_LEVEL=DEBUG python -c "import jax; print(jax.devices())"',
    "torch": 'python -c "import torch; torch.cuda.init()"',
}
ON_THE_PATH = (
    "export LD_LIBRARY_PATH=$(python -c \"import glob, site; print(':'.join(glob.glob("
    "site.getsitepackages()[0] + '/nvidia/*/lib')))\"):$LD_LIBRARY_PATH"
)


def install_command(facts: Facts) -> str:
    """The command that installs the build for GPUs, with its libraries."""
    series = max(major(facts.module), *(major(card.driver) for card in facts.cards), 0)
    cuda = major(facts.cuda) or (13 if series >= OLDEST_DRIVER[13] else 12)
    if facts.backend == "tensorflow":
        return (
            "pip uninstall -y tensorflow-cpu tensorflow && "
            'pip install --upgrade "tensorflow[and-cuda]"'
        )
    if facts.backend == "jax":
        return f'pip install --upgrade "jax[cuda{cuda}]"'
    older = " --index-url https://download.pytorch.org/whl/cu126" * (cuda < 13)
    return f"pip uninstall -y torch && pip install torch{older}"


def major(version: str | None) -> int:
    """The first number of a version; 0 where there is none."""
    found = re.match(r"\d+", version or "")
    return int(found[0]) if found else 0
