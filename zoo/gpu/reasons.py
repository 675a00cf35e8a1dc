"""Why a GPU is not used: each reason a function of the facts, with the command that mends it.

A reason has three parts: what was seen, what it means, what mends it. The order is that in which to
mend: the environment first, then the machine, its driver, the packages, the memory.
"""

import re
from collections.abc import Iterator
from types import FunctionType
from typing import NamedTuple

from zoo.gpu.backends import NAMES
from zoo.gpu.facts import DRIVER_LIBRARIES, LIBRARIES, Facts
from zoo.gpu.mending import (
    DRIVER_PAGE,
    LIST_DEVICES,
    OLDEST_DRIVER,
    ON_THE_PATH,
    install_command,
    major,
)

FULL = 0.9  # of a GPU's memory


class Found(NamedTuple):
    """What was seen, what it means, and the command that mends it."""

    seen: str
    means: str
    mend: str


class Reason(NamedTuple):
    """A reason with its name, as `--json` gives it."""

    name: str
    seen: str
    means: str
    mend: str


REASONS: list[FunctionType] = []


def reason(found: FunctionType) -> FunctionType:
    """Add a function `Facts -> Found | None` to the reasons; its name is that of the reason."""
    REASONS.append(found)
    return found


def reasons(facts: Facts) -> list[Reason]:
    """All that apply, in the order in which to mend them; empty if GPUs are used undisturbed.

    Empty, too, for a backend of Keras that computes on the CPU only, such as numpy.
    """
    if facts.backend not in NAMES:
        return []
    asked = [memory_taken] if facts.gpus else REASONS
    found = [Reason(each.__name__, *answer) for each in asked if (answer := each(facts))]
    return found or [Reason("unknown", *answer) for answer in _unknown(facts)]


@reason
def hidden(facts: Facts) -> Found | None:
    value = facts.environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return None
    first, known = value.split(",")[0].strip(), [card.uuid for card in facts.cards]
    count = len(known) or len(_numbered(facts)) or facts.pci
    if not first or first == "-1":
        means = "The variable hides every GPU from CUDA, and so from every backend."
    elif first.isdigit() and count and int(first) >= count:
        means = (
            f"The machine has {count} GPU{'s' * (count > 1)}, counted from 0. CUDA uses the list "
            f"up to its first wrong number, and {first} is the first: no GPU is left."
        )
    elif first.startswith("GPU-") and known and not any(i.startswith(first) for i in known):
        means = "No GPU of this machine has that identifier, so none is left."
    elif not re.match(r"\d+$|GPU-|MIG-", first):
        means = "That is neither a number nor an identifier of a GPU, so CUDA uses none."
    else:
        return None
    return Found(f"CUDA_VISIBLE_DEVICES={value!r}", means, "unset CUDA_VISIBLE_DEVICES")


@reason
def forced_to_cpu(facts: Facts) -> Found | None:
    variables = {"jax": ("JAX_PLATFORMS", "JAX_PLATFORM_NAME"), "torch": ("KERAS_TORCH_DEVICE",)}
    for name in variables.get(facts.backend, ()):
        value = facts.environment.get(name, "")
        if value and not re.search("cuda|gpu|rocm|mps|xpu|tpu", value):
            means = f"The variable makes {NAMES[facts.backend]} compute on the CPU only."
            return Found(f"{name}={value!r}", means, f"unset {name}")
    return None


@reason
def no_gpu(facts: Facts) -> Found | None:
    if facts.wsl or facts.system == "Windows" or _is_there(facts):
        return None
    if facts.system == "Darwin":
        return Found(
            "the system is macOS",
            "NVIDIA has no driver for it. Of the backends, torch uses the GPU of Apple's chips.",
            "KERAS_BACKEND=torch keras-metric doctor",
        )
    inside = (
        " If the computer around this container has one, it was not passed in: start the container "
        "with `docker run --gpus all`."
    )
    return Found(
        "no graphics card of NVIDIA on the PCI bus, no /dev/nvidia0, and no driver",
        "This machine has no GPU that a backend could use; all of keras-metric works on the CPU."
        + inside * facts.container,
        "lspci | grep -i nvidia    # lists the cards, if you expect one",
    )


@reason
def windows(facts: Facts) -> Found | None:
    if facts.system != "Windows" or facts.backend == "torch":
        return None
    return Found(
        "the system is Windows",
        f"{NAMES[facts.backend]} has no GPU builds for it; within WSL 2, a Linux in Windows, it "
        "uses the GPU through the driver of Windows.",
        "wsl --install    # in PowerShell; then install keras-metric[gpu] within",
    )


@reason
def wsl(facts: Facts) -> Found | None:
    if not facts.wsl:
        return None
    library = facts.libraries.get("libcuda.so.1", "")
    if "/dev/dxg" not in facts.device_files:
        return Found(
            "Linux within Windows (WSL), without /dev/dxg",
            "This is WSL 1, or a WSL that is too old to pass the GPU in.",
            "wsl --update; wsl --set-default-version 2    # in PowerShell, then wsl --shutdown",
        )
    if not library:
        return Found(
            "Linux within Windows (WSL), with /dev/dxg but without libcuda.so.1",
            "Windows passes the GPU in together with its own driver, and has none of NVIDIA that "
            "knows WSL. No driver belongs into the Linux.",
            f"install the driver of {DRIVER_PAGE} in Windows; then wsl --shutdown in PowerShell",
        )
    if "/wsl/lib/" not in library:
        return Found(
            f"Linux within Windows (WSL), and the loader finds {library} first",
            "A Linux driver is installed and hides the one that Windows passes in.",
            "sudo apt-get purge '^libnvidia-compute.*' '^nvidia-driver.*' && sudo ldconfig",
        )
    return None


@reason
def container_without_gpu(facts: Facts) -> Found | None:
    void = facts.environment.get("NVIDIA_VISIBLE_DEVICES") in ("void", "none", "")
    lacking = [] if _numbered(facts) else ["/dev/nvidia0"]
    lacking += [] if "libcuda.so.1" in facts.libraries else ["libcuda.so.1"]
    outside = facts.pci or facts.module or facts.device_files
    if facts.wsl or not facts.container or not outside or not lacking:
        return None
    setting = " and NVIDIA_VISIBLE_DEVICES hides the GPUs" * void
    return Found(
        f"a container that lacks {' and '.join(lacking)}{setting}, on a machine with a GPU",
        "A container sees a GPU only if NVIDIA's runtime passes the device and the driver's "
        "libraries in when it is started. They are not installed within.",
        "docker run --gpus all ...    # outside; once before: sudo apt-get install "
        "nvidia-container-toolkit && sudo nvidia-ctk runtime configure --runtime=docker && "
        "sudo systemctl restart docker",
    )


@reason
def no_driver(facts: Facts) -> Found | None:
    if facts.wsl or facts.container or not _is_there(facts):
        return None
    missing = [name for name in DRIVER_LIBRARIES if name not in facts.libraries]
    if not facts.module and not facts.cards and facts.pci:
        other = " but the free driver nouveau, which cannot run CUDA," * facts.nouveau
        half = "" if missing else " Its libraries are installed: `sudo modprobe nvidia` says why."
        return Found(
            f"{facts.pci} graphics card(s) of NVIDIA, and the kernel has no driver{other} loaded",
            f"Without NVIDIA's driver no program reaches the GPU.{half}",
            f"sudo ubuntu-drivers install && sudo reboot    # elsewhere: {DRIVER_PAGE}",
        )
    if facts.module and missing:
        series = facts.module.split(".")[0]
        return Found(
            f"driver {facts.module} in the kernel, without {' and '.join(missing)}",
            "Half of the driver is missing: the libraries through which programs reach it.",
            f"sudo apt-get install libnvidia-compute-{series} nvidia-utils-{series}",
        )
    return None


@reason
def no_device_files(facts: Facts) -> Found | None:
    if facts.wsl or facts.container or not facts.module:
        return None
    missing = [] if _numbered(facts) else ["/dev/nvidia0"]
    missing += [] if "/dev/nvidia-uvm" in facts.device_files else ["/dev/nvidia-uvm"]
    if not missing:
        return None
    return Found(
        f"driver {facts.module} in the kernel, without {' and '.join(missing)}",
        "The driver is there, but not the files through which programs talk to it.",
        "sudo nvidia-modprobe -c 0 -u",
    )


@reason
def no_permission(facts: Facts) -> Found | None:
    refused = {name: group for name, group in facts.device_files.items() if group}
    if not refused:
        return None
    group = next(iter(refused.values()))
    mend = f"sudo usermod -aG {group} $USER    # then log in anew"
    if facts.container:
        mend = "docker run --gpus all ...    # outside: it passes the right in, too"
    elif group in ("root", "unknown"):
        mend = "sudo chmod a+rw /dev/nvidia*"
    return Found(
        f"permission denied: {', '.join(refused)}",
        f"The GPU is there, but you may not use it; the files belong to the group {group}.",
        mend,
    )


@reason
def driver_changed(facts: Facts) -> Found | None:
    loaded, installed = facts.module, facts.library_version
    differ = loaded and installed and loaded != installed
    asked = facts.answer == "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
    if facts.wsl or not (differ or asked):
        return None
    return Found(
        f"driver {loaded or 'unknown'} in the kernel, its library has version "
        f"{installed or 'unknown'}",
        "The driver was updated and the kernel still runs the old one; the two must be the same.",
        "sudo reboot",
    )


@reason
def old_driver(facts: Facts) -> Found | None:
    needed = OLDEST_DRIVER.get(major(facts.cuda))
    driver = facts.module or next((card.driver for card in facts.cards), "")
    words = r"driver on your system is too old|driver version is insufficient"
    told = re.search(words, facts.said + facts.problem)
    runs = 0 < major(facts.driver_cuda) < major(facts.cuda)
    old = bool(driver and needed and major(driver) < needed)
    if not (told or old or (runs and not driver)):
        return None
    has = f"driver {driver or 'of unknown version'}"
    has += f", which runs CUDA up to {facts.driver_cuda}" if facts.driver_cuda else ""
    apt = f"sudo ubuntu-drivers install && sudo reboot    # elsewhere: {DRIVER_PAGE}"
    return Found(
        f"{has}; {NAMES[facts.backend]} is built for CUDA {facts.cuda or 'of another version'}",
        f"The driver is too old for this build, which needs series {needed or 580} or newer.",
        f"install the driver of {DRIVER_PAGE} in Windows" if facts.wsl else apt,
    )


@reason
def cpu_build(facts: Facts) -> Found | None:
    if facts.cuda != "" or facts.system == "Darwin" or not _is_there(facts):
        return None
    name, package = NAMES[facts.backend], facts.backend
    if package == "tensorflow" and "tensorflow-cpu" in facts.packages:
        package = "tensorflow-cpu"
    seen = f"{package} {facts.packages.get(package, '')}".strip() + ", built without CUDA"
    if package == "jax":
        seen = seen.replace("built without", "without a plugin for")
    return Found(seen, f"This build of {name} knows the CPU only.", install_command(facts))


@reason
def missing_libraries(facts: Facts) -> Found | None:
    if not facts.cuda or not _is_there(facts):
        return None
    absent = [need.name for need in facts.unmet if need.installed is None]
    packages = [name for name in absent if _file(name) not in (None, *facts.libraries)]
    files = _not_loaded(facts)
    if not packages and not files:
        return None
    seen = [f"not installed: {', '.join(packages)}"] if packages else []
    seen += [f"{NAMES[facts.backend]} could not load {', '.join(files)}"] if files else []
    means = "Libraries of CUDA or cuDNN are missing, and without them no GPU is used."
    if packages or not facts.unmet and not any(n.startswith("nvidia-") for n in facts.packages):
        return Found("; ".join(seen), means, install_command(facts))
    return Found(
        "; ".join(seen),
        "The packages of these libraries are installed, but the loader does not find their files.",
        ON_THE_PATH,
    )


@reason
def unfit_versions(facts: Facts) -> Found | None:
    if not facts.cuda:
        return None
    unfit = [need for need in facts.unmet if need.installed]
    seen = [f"{need.name}{need.wanted} is needed, {need.installed} is there" for need in unfit]
    told = (
        r"JAX plugin \S+ version \S+ is installed, but it is not compatible with the installed "
        r"jaxlib version [\d.]*\d",
        r"Loaded runtime CuDNN library: \S+ but source was compiled with: [\d.]*\d",
        r"Found \w+ version \d+, but JAX was built against version \d+",
    )
    words = facts.said + facts.problem
    seen += [found[0] for pattern in told if (found := re.search(pattern, words))]
    if not seen:
        return None
    means = "The backend and these libraries were not built for each other."
    return Found("; ".join(seen), means, install_command(facts))


@reason
def driver_does_not_start(facts: Facts) -> Found | None:
    known = {
        "CUDA_ERROR_SYSTEM_NOT_READY": (
            "GPUs joined by NVSwitch need the service fabricmanager, which does not run.",
            "sudo systemctl start nvidia-fabricmanager",
        ),
        "CUDA_ERROR_UNKNOWN": (
            "The driver is in a bad state, often after the machine slept.",
            "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm    # or sudo reboot",
        ),
    }
    if facts.answer not in known:
        return None
    return Found(f"the driver answers cuInit with {facts.answer}", *known[facts.answer])


@reason
def memory_taken(facts: Facts) -> Found | None:
    full = [card for card in facts.cards if card.total and card.used > FULL * card.total]
    alone = [
        card
        for card in facts.cards
        if card.mode == "Prohibited" or (card.mode == "Exclusive_Process" and facts.processes)
    ]
    if not full and not alone:
        return None
    seen = [f"GPU {card.index}: {card.used} of {card.total} MiB in use" for card in full]
    seen += [f"GPU {card.index}: compute mode {card.mode}" for card in alone]
    seen += [f"process {one.pid} ({one.name}): {one.memory} MiB" for one in facts.processes]
    if not full:
        means = "The GPU admits one program at a time, or none."
        return Found("; ".join(seen), means, "sudo nvidia-smi -c 0")
    return Found(
        "; ".join(seen),
        "Another process has the memory: TensorFlow takes all of it, JAX three quarters, unless "
        "TF_FORCE_GPU_ALLOW_GROWTH=true or XLA_PYTHON_CLIENT_PREALLOCATE=false is set for it.",
        f"kill {facts.processes[0].pid}    # if it is yours"
        if facts.processes
        else "sudo fuser -v /dev/nvidia*    # names the process; end it if it is yours",
    )


def _unknown(facts: Facts) -> Iterator[Found]:
    if not facts.gpus and _is_there(facts):
        lines = [line for line in (facts.said + facts.problem).splitlines() if line.strip()]
        yield Found(
            f"a GPU, and {NAMES[facts.backend]} does not list it; the driver answers "
            f"{facts.answer or 'nothing'}. Its last words: {' '.join(lines[-3:]) or 'none'}",
            "None of the usual reasons.",
            f"{LIST_DEVICES[facts.backend]}    # all it says",
        )


def _is_there(facts: Facts) -> bool:
    """Something shows a GPU of NVIDIA."""
    return bool(facts.pci or facts.module or facts.device_files or facts.cards)


def _numbered(facts: Facts) -> list[str]:
    return [name for name in facts.device_files if re.fullmatch(r"/dev/nvidia\d+", name)]


def _file(package: str) -> str | None:
    """The library in a package of NVIDIA, of those that a backend loads."""
    return LIBRARIES.get(re.sub(r"^nvidia-|-cu\d+$", "", package))


def _not_loaded(facts: Facts) -> list[str]:
    """Libraries that the backend says it could not load, but for the driver's and TensorRT's."""
    words = facts.said + facts.problem
    named = re.findall(r"Could not load dynamic library '([^']+)'", words)
    named += re.findall(r"(lib[\w.+-]+?\.so[.\d]*): cannot open shared object file", words)
    named = named or re.findall(r"Unable to load (\w+)\. Is it installed", words)
    driver = ("libcuda.so", "libnvidia-ml", "libnvinfer")
    return [name for name in dict.fromkeys(named) if not name.startswith(driver)]
