"""What a machine, its packages and its environment show of GPUs; `reasons` concludes from it.

Nothing is judged here. Files are read below `root`, packages from the folders of `path`, programs
from the `PATH` of `environment`: facts of another machine can be laid out in a folder.
"""

import contextlib
import ctypes
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from zoo.gpu.backends import Look

VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "JAX_PLATFORMS", "JAX_PLATFORM_NAME"),
    *("KERAS_TORCH_DEVICE", "LD_LIBRARY_PATH"),
)
LIBRARIES = {  # of a package of NVIDIA, without "nvidia-" and "-cu12"
    "cublas": "libcublas.so",
    "cuda-cupti": "libcupti.so",
    "cuda-runtime": "libcudart.so",
    "cudnn": "libcudnn.so",
    "cufft": "libcufft.so",
    "cusolver": "libcusolver.so",
    "cusparse": "libcusparse.so",
    "nccl": "libnccl.so",
    "nvjitlink": "libnvJitLink.so",
}
DRIVER_LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
FOLDERS = (
    *("usr/lib/wsl/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64"),
    *("usr/lib", "usr/local/lib", "usr/local/nvidia/lib64", "usr/local/cuda/lib64"),
)


@dataclass(frozen=True)
class Card:
    """A GPU as `nvidia-smi` lists it; memory in MiB."""

    index: int
    uuid: str
    name: str
    driver: str
    used: int
    total: int
    mode: str


@dataclass(frozen=True)
class Process:
    """A process that computes on a GPU; memory in MiB."""

    pid: int
    name: str
    memory: int


@dataclass(frozen=True)
class Unmet:
    """A package that the backend needs for GPUs: the versions wanted, and the one installed."""

    name: str
    wanted: str
    installed: str | None


@dataclass(frozen=True)
class Facts:
    """What is known about the GPUs of a machine, without judgement.

    Attributes:
        backend, gpus, cuda, said, problem: as in `backends.Look`; `cuda` also from the packages.
        packages: installed versions of the backend and of NVIDIA's libraries.
        unmet: what the backend needs for GPUs and does not have.
        system: "Linux", "Darwin" or "Windows".
        wsl, container: Linux within Windows; within Docker, Podman or Kubernetes.
        pci: NVIDIA's graphics cards on the PCI bus.
        module: version of NVIDIA's driver that the kernel has loaded, or "".
        nouveau: the kernel has loaded the free driver, which knows no CUDA.
        device_files: of /dev/nvidia*: "" if it opens, else the group that may open it.
        libraries: files of the driver and of CUDA that the loader finds, by name.
        library_version: of the driver's libcuda, by the name of its file, or "".
        driver_cuda: the newest version of CUDA that the driver runs, such as "12.8", or "".
        answer: of the driver's cuInit: "CUDA_SUCCESS", another name, or "" where it is missing.
        cards, processes: as `nvidia-smi` lists them.
        environment: the variables that choose devices and libraries.
    """

    backend: str = "tensorflow"
    gpus: tuple[str, ...] = ()
    cuda: str | None = None
    said: str = ""
    problem: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    unmet: tuple[Unmet, ...] = ()
    system: str = "Linux"
    wsl: bool = False
    container: bool = False
    pci: int = 0
    module: str = ""
    nouveau: bool = False
    device_files: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    library_version: str = ""
    driver_cuda: str = ""
    answer: str = ""
    cards: tuple[Card, ...] = ()
    processes: tuple[Process, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def gather(
    look: Look,
    root: Path = Path("/"),
    path: list[str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Facts:
    """The facts of this machine, or of the one laid out below `root`."""
    packages = _packages(path)
    cuda = look.cuda if look.cuda is not None else _cuda(look.backend, packages)
    folders = list(_folders(root, environment))
    libraries = dict(_libraries(folders))
    driver_cuda, answer = _ask_driver(libraries.get("libcuda.so.1"))
    cards, processes = _smi(environment)
    return Facts(
        backend=look.backend,
        gpus=look.gpus,
        cuda=cuda,
        said=look.said,
        problem=look.problem,
        packages={name: found.version for name, found in packages.items() if _matters(name)},
        unmet=tuple(_unmet(look.backend, packages)) if cuda else (),
        system=platform.system(),
        wsl="microsoft" in _text(root / "proc/sys/kernel/osrelease").lower(),
        container=_in_container(root, environment),
        pci=_cards_on_the_bus(root),
        module=_module(root),
        nouveau=(root / "sys/module/nouveau").exists(),
        device_files=dict(_device_files(root)),
        libraries=libraries,
        library_version=_version_in_name(libraries.get("libcuda.so.1")),
        driver_cuda=driver_cuda,
        answer=answer,
        cards=cards,
        processes=processes,
        environment={name: environment[name] for name in VARIABLES if name in environment},
    )


def _text(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(errors="replace")
    return ""


def _in_container(root: Path, environment: Mapping[str, str]) -> bool:
    marks = (root / ".dockerenv", root / "run/.containerenv")
    groups = _text(root / "proc/1/cgroup")
    return (
        any(mark.exists() for mark in marks)
        or "container" in environment
        or "KUBERNETES_SERVICE_HOST" in environment
        or re.search(r"docker|kubepods|containerd|lxc", groups) is not None
    )


def _cards_on_the_bus(root: Path) -> int:
    """Devices of NVIDIA (10de) that are display controllers (class 03)."""
    devices = (root / "sys/bus/pci/devices").glob("*")
    return sum(
        _text(device / "vendor").strip() == "0x10de" and _text(device / "class").startswith("0x03")
        for device in devices
    )


def _module(root: Path) -> str:
    version = _text(root / "sys/module/nvidia/version").strip()
    about = _text(root / "proc/driver/nvidia/version")
    found = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", about)
    return version or (found[1] if found else "")


def _device_files(root: Path) -> Iterator[tuple[str, str]]:
    """Each file is opened, since rights and a container's rules both count, and closed again."""
    files = sorted((root / "dev").glob("nvidia*"))
    if (root / "dev/dxg").exists():
        files.append(root / "dev/dxg")
    for file in files:
        if not re.fullmatch(r"nvidia\d+|nvidiactl|nvidia-uvm|dxg", file.name):
            continue
        refused = ""
        try:
            os.close(os.open(file, os.O_RDWR))
        except PermissionError:
            refused = _group(file)
        except OSError:
            pass  # it is there; why it does not open is the driver's answer
        yield f"/dev/{file.name}", refused


def _group(file: Path) -> str:
    try:
        return file.group()
    except (KeyError, OSError):
        return "unknown"


def _folders(root: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Where the loader looks for libraries of 64 bits, in its order."""
    yield from (Path(place) for place in environment.get("LD_LIBRARY_PATH", "").split(":") if place)
    for file in sorted((root / "etc/ld.so.conf.d").glob("*.conf")):
        lines = [line.strip() for line in _text(file).splitlines()]
        places = [line for line in lines if line.startswith("/") and "i386" not in line]
        yield from (root / line.lstrip("/") for line in places)
    yield from (root / place for place in FOLDERS)


def _libraries(folders: list[Path]) -> Iterator[tuple[str, str]]:
    for name in (*DRIVER_LIBRARIES, *LIBRARIES.values()):
        pattern = name if name in DRIVER_LIBRARIES else f"{name}*"
        found = next((file for place in folders for file in sorted(place.glob(pattern))), None)
        if found is not None:
            yield name, str(found)


def _version_in_name(library: str | None) -> str:
    """libcuda.so.1 is a link to libcuda.so.535.104.05."""
    found = re.search(r"\.so\.(\d+\.[\d.]+)$", str(Path(library).resolve())) if library else None
    return found[1] if found else ""


def _ask_driver(library: str | None) -> tuple[str, str]:
    """The version of CUDA that the driver runs, and the name of what its cuInit answers."""
    if library is None:
        return "", ""
    try:
        driver = ctypes.CDLL(library)
        version, name = ctypes.c_int(), ctypes.c_char_p()
        driver.cuDriverGetVersion(ctypes.byref(version))
        code = driver.cuInit(0)
        driver.cuGetErrorName(code, ctypes.byref(name))
    except (OSError, AttributeError):
        return "", "the library cannot be loaded"
    answer = (name.value or b"").decode() or f"error {code}"
    return f"{version.value // 1000}.{version.value % 1000 // 10}", answer


def _smi(environment: Mapping[str, str]) -> tuple[tuple[Card, ...], tuple[Process, ...]]:
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return (), ()
    what = "index,uuid,name,driver_version,memory.used,memory.total,compute_mode"
    cards = [
        Card(int(row[0]), row[1], row[2], row[3], _number(row[4]), _number(row[5]), row[6])
        for row in _query(program, f"--query-gpu={what}", 7)
        if row[0].isdigit()
    ]
    processes = [
        Process(int(row[0]), row[1], _number(row[2]))
        for row in _query(program, "--query-compute-apps=pid,process_name,used_memory", 3)
        if row[0].isdigit() and int(row[0]) != os.getpid()
    ]
    return tuple(cards), tuple(processes)


def _query(program: str, question: str, columns: int) -> list[list[str]]:
    command = [program, question, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == columns]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _packages(path: list[str] | None) -> dict[str, metadata.Distribution]:
    found = metadata.distributions(path=path) if path is not None else metadata.distributions()
    named = [(one.metadata["Name"], one) for one in found]
    return {re.sub(r"[-_.]+", "-", name).lower(): one for name, one in reversed(named) if name}


def _matters(name: str) -> bool:
    return name.startswith(("nvidia-", "jax", "tensorflow", "torch", "cuda-")) or name == "keras"


def _cuda(backend: str, packages: Mapping[str, metadata.Distribution]) -> str | None:
    """By its packages: JAX has a plugin for CUDA, the others ask for packages of NVIDIA."""
    if backend == "jax":
        plugins = [re.fullmatch(r"jax-cuda(\d+)-plugin", name) for name in packages]
        return next((found[1] for found in plugins if found), "")
    if "tensorflow-cpu" in packages and backend == "tensorflow":
        return ""
    suffixes = [re.search(r"-cu(\d+)$", one.name) for one in _for_gpus(backend, packages)]
    return next((found[1] for found in suffixes if found), None)


def _for_gpus(backend: str, packages: Mapping[str, metadata.Distribution]) -> Iterator[Requirement]:
    """What the backend requires for GPUs, as its packages declare it."""
    plugins = [name for name in packages if re.fullmatch(r"jax-cuda\d+-plugin", name)]
    asking = {
        "tensorflow": [("tensorflow", "and-cuda")],
        "torch": [("torch", "")],
        "jax": [
            *(("jax", name.split("-")[1]) for name in plugins),
            *((name, "with-cuda") for name in plugins),
        ],
    }
    for name, extra in asking.get(backend, ()):
        lines = packages[name].requires or [] if name in packages else []
        for requirement in map(Requirement, lines):
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            if applies and requirement.name.startswith(("nvidia-", "cuda-", "jax")):
                yield requirement


def _unmet(backend: str, packages: Mapping[str, metadata.Distribution]) -> Iterator[Unmet]:
    for requirement in _for_gpus(backend, packages):
        there = packages.get(re.sub(r"[-_.]+", "-", requirement.name).lower())
        if there is None or not requirement.specifier.contains(there.version, prereleases=True):
            yield Unmet(requirement.name, str(requirement.specifier), there and there.version)
