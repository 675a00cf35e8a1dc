"""Why a GPU is not used: each reason is provoked on a machine laid out in files."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from zoo.gpu.backends import Look
from zoo.gpu.reasons import REASONS, reasons

pytestmark = pytest.mark.tensorflow

SMI = "0, GPU-11aa, NVIDIA L4, 550.54.14, {used}, 23034, {mode}"
# What tensorflow 2.21.0 wrote, with a driver and without the libraries of CUDA, shortened; the line
# of TensorRT is added, for versions that look for it.
NOT_LOADED = """\
I0000 dso_loader.cc:133] Successfully opened dynamic library libcuda.so.1
E0000 cuda_executor.cc:1737] INTERNAL: CUDA Runtime error: Failed call to cudaGetRuntimeVersion: \
Error loading CUDA libraries. GPU will not be used.: Error loading CUDA libraries. GPU will not be \
used.
I0000 dso_loader.cc:144] Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: \
cannot open shared object file: No such file or directory; LD_LIBRARY_PATH: x
I0000 dso_loader.cc:144] Could not load dynamic library 'libnvinfer.so.8'; dlerror: \
libnvinfer.so.8: cannot open shared object file: No such file or directory; LD_LIBRARY_PATH: x
W0000 gpu_device.cc:2365] Cannot dlopen some GPU libraries. Please make sure the missing libraries \
mentioned above are installed properly if you would like to use GPU.
Skipping registering GPU devices...
"""
# What jax 0.10.2 wrote beside its plugin for CUDA, without the libraries, and with a plugin whose
# version was changed; what torch wrote is from public reports.
JAX_NOT_LOADED = """\
RuntimeError: jaxlib/cuda/versions_helpers.cc:38: operation cudaRuntimeGetVersion(&version) \
failed: Error loading CUDA libraries. GPU will not be used.
RuntimeError: Unable to load CUDA. Is it installed?
"""
JAX_UNFIT = """\
plugin_support.py:91: RuntimeWarning: JAX plugin jax_cuda12_plugin version 0.9.1 is installed, but \
it is not compatible with the installed jaxlib version 0.10.2, so it will not be used.
"""
TORCH_TOO_OLD = """\
UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 11040).
"""


def environment(**variables):
    return lambda machine: machine.environment.update(variables)


def without(*places):
    return lambda machine: machine.remove(*places)


def driver(version):
    return lambda machine: machine.driver(version)


def backend(*look):
    def change(machine):
        machine.look = Look(*look)

    return change


def said(text):
    def change(machine):
        machine.look = replace(machine.look, said=text)

    return change


def container(machine):
    machine.write(".dockerenv")


def wsl(machine):
    machine.write("proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n")
    machine.remove("sys/*", "dev/*", "usr/lib64/*")


def dxg(machine):
    machine.write("dev/dxg")


def package(name, version=None, requires=None):
    def change(machine):
        machine.uninstall(name)
        if version:
            machine.install(name, version, requires)

    return change


def jax_plugin(machine):
    machine.install("jax", "0.10.2")
    machine.install("jax-cuda12-plugin", "0.10.2", ["jax-cuda12-pjrt==0.10.2"])
    machine.install("jax-cuda12-pjrt", "0.10.2")
    machine.look = Look("jax", ("cpu:0",))


def cards(used=400, mode="Default", processes=("4711, python, 21900",)):
    return lambda machine: machine.smi([SMI.format(used=used, mode=mode)], list(processes))


NO_FILES = without("dev/nvidia*")
CASES = [  # the reason, what is changed, what is seen, what mends
    ("hidden", [environment(CUDA_VISIBLE_DEVICES="")], "DEVICES=''", "unset CUDA_VISIBLE"),
    ("hidden", [environment(CUDA_VISIBLE_DEVICES="-1")], "DEVICES='-1'", "unset CUDA_VISIBLE"),
    ("hidden", [environment(CUDA_VISIBLE_DEVICES="1,0")], "'1,0'", "unset CUDA_VISIBLE"),
    ("hidden", [environment(CUDA_VISIBLE_DEVICES="none")], "'none'", "unset CUDA_VISIBLE"),
    ("hidden", [cards(), environment(CUDA_VISIBLE_DEVICES="GPU-2")], "'GPU-2'", "unset CUDA"),
    (
        "forced_to_cpu",
        [jax_plugin, environment(JAX_PLATFORMS="cpu")],
        "JAX_PLATFORMS='cpu'",
        "unset JAX_PLATFORMS",
    ),
    (
        "forced_to_cpu",
        [backend("torch", ("cpu",), (), "12.8"), environment(KERAS_TORCH_DEVICE="cpu")],
        "KERAS_TORCH_DEVICE='cpu'",
        "unset KERAS_TORCH_DEVICE",
    ),
    ("no_gpu", [without("sys/*", "dev/*", "usr/*")], "no /dev/nvidia0", "lspci"),
    ("wsl", [wsl], "without /dev/dxg", "wsl --update"),
    ("wsl", [wsl, dxg], "without libcuda.so.1", "in Windows"),
    (
        "wsl",
        [wsl, dxg, driver("550.54.14"), without("sys/*")],
        "usr/lib64/libcuda",
        "apt-get purge",
    ),
    ("container_without_gpu", [container, NO_FILES], "lacks /dev/nvidia0, on", "--gpus all"),
    (
        "container_without_gpu",
        [container, NO_FILES, without("usr/*"), environment(NVIDIA_VISIBLE_DEVICES="void")],
        "/dev/nvidia0 and libcuda.so.1 and NVIDIA_VISIBLE_DEVICES hides",
        "nvidia-container-toolkit",
    ),
    ("no_driver", [without("sys/module", "usr/*", "dev/*")], "1 graphics card", "ubuntu-drivers"),
    ("no_driver", [without("usr/lib64/libnvidia-ml*")], "without libnvidia-ml", "compute-550"),
    ("no_device_files", [without("dev/nvidia-uvm")], "without /dev/nvidia-uvm", "nvidia-modprobe"),
    ("no_device_files", [NO_FILES], "without /dev/nvidia0 and /dev/nvidia-uvm", "nvidia-modprobe"),
    (
        "driver_changed",
        [lambda machine: machine.write("sys/module/nvidia/version", "535.104.05\n")],
        "535.104.05 in the kernel, its library has version 550.54.14",
        "sudo reboot",
    ),
    (
        "old_driver",
        [driver("470.57.02")],
        "driver 470.57.02; TensorFlow is built",
        "ubuntu-drivers",
    ),
    (
        "old_driver",
        [backend("torch", ("cpu",), (), "12.8", TORCH_TOO_OLD), without("sys/module"), cards()],
        "torch is built for CUDA 12.8",
        "ubuntu-drivers",
    ),
    (
        "cpu_build",
        [backend("tensorflow", ("CPU:0",), (), ""), package("tensorflow-cpu", "2.21.0")],
        "tensorflow-cpu 2.21.0, built without CUDA",
        'uninstall -y tensorflow-cpu tensorflow && pip install --upgrade "tensorflow[and-cuda]"',
    ),
    (
        "cpu_build",
        [backend("jax", ("cpu:0",)), package("jax", "0.10.2"), driver("580.65.06")],
        "jax 0.10.2, without a plugin for CUDA",
        'pip install --upgrade "jax[cuda13]"',
    ),
    (
        "cpu_build",
        [backend("torch", ("cpu",), (), ""), package("torch", "2.13.0+cpu")],
        "torch 2.13.0+cpu, built without CUDA",
        "/whl/cu126",
    ),
    (
        "missing_libraries",
        [package("nvidia-cudnn-cu12")],
        "not installed: nvidia-cudnn",
        "and-cuda",
    ),
    ("missing_libraries", [said(NOT_LOADED)], "could not load libcudnn.so.9", "LD_LIBRARY_PATH"),
    (
        "missing_libraries",
        [
            jax_plugin,
            package("nvidia-cublas-cu12"),
            package("jax-cuda12-plugin", "0.10.2", ["nvidia-cublas-cu12; extra == 'with-cuda'"]),
            said(JAX_NOT_LOADED),
        ],
        "not installed: nvidia-cublas-cu12; JAX could not load CUDA",
        'pip install --upgrade "jax[cuda12]"',
    ),
    (
        "unfit_versions",
        [package("nvidia-cudnn-cu12", "8.9.7.29")],
        "nvidia-cudnn-cu12<10.0,>=9.3.0.75 is needed, 8.9.7.29 is there",
        "tensorflow[and-cuda]",
    ),
    ("unfit_versions", [jax_plugin, said(JAX_UNFIT)], "version 0.9.1 is installed", "jax[cuda12]"),
    (
        "memory_taken",
        [cards(used=22900)],
        "GPU 0: 22900 of 23034 MiB in use; process 4711 (python): 21900 MiB",
        "kill 4711",
    ),
    (
        "memory_taken",
        [cards(mode="Exclusive_Process")],
        "compute mode Exclusive",
        "nvidia-smi -c 0",
    ),
]


@pytest.mark.parametrize(
    ("name", "changes", "seen", "mend"), CASES, ids=[f"{c[0]}-{k}" for k, c in enumerate(CASES)]
)
def test_a_reason_is_found_and_no_other(name, changes, seen, mend, machine):
    for change in changes:
        change(machine)
    found = reasons(machine.facts())
    assert [reason.name for reason in found] == [name]
    assert seen in found[0].seen
    assert mend in found[0].mend
    assert found[0].means.endswith(".")


ELSEWHERE = {"no_permission", "driver_does_not_start", "windows"}


def test_every_reason_is_provoked():
    assert {reason.__name__ for reason in REASONS} == {case[0] for case in CASES} | ELSEWHERE


def test_nothing_is_wrong_with_the_machine(machine):
    """The backend does not list its GPU: the reason is unknown, and the words are shown."""
    assert [reason.name for reason in reasons(machine.facts())] == ["unknown"]
    said("one\n\ntwo\n")(machine)
    found = reasons(machine.facts())[0]
    assert "Its last words: one two" in found.seen
    assert "tf.config.list_physical_devices" in found.mend


def test_where_a_gpu_is_used_only_its_memory_is_asked_for(machine):
    machine.environment["CUDA_VISIBLE_DEVICES"] = "0,7"
    machine.look = replace(machine.look, devices=("CPU:0", "GPU:0"), gpus=("GPU:0",))
    machine.driver("470.57.02")
    assert reasons(machine.facts()) == []
    cards(used=22900, processes=[])(machine)
    found = reasons(machine.facts())
    assert [reason.name for reason in found] == ["memory_taken"]
    assert "fuser" in found[0].mend


@pytest.mark.parametrize("value", ["0", "0,9", "GPU-11", "MIG-1"])
def test_devices_that_are_there_are_not_hidden(value, machine):
    cards()(machine)
    machine.environment["CUDA_VISIBLE_DEVICES"] = value
    assert [reason.name for reason in reasons(machine.facts())] == ["unknown"]


def test_libraries_of_the_system_are_as_good_as_packages(machine):
    for name in ("nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"):
        machine.uninstall(name)
    machine.uninstall("nvidia-nccl-cu12")
    place = machine.write("etc/ld.so.conf.d/cuda.conf", "# CUDA\n/opt/cuda/lib\n")
    for library in ("libcublas.so.12", "libcudart.so.12", "libcudnn.so.9", "libnccl.so.2"):
        machine.write(f"opt/cuda/lib/{library}")
    assert [reason.name for reason in reasons(machine.facts())] == ["unknown"]
    place.unlink()
    assert [reason.name for reason in reasons(machine.facts())] == ["missing_libraries"]
    machine.environment["LD_LIBRARY_PATH"] = str(machine.root / "opt/cuda/lib")
    assert [reason.name for reason in reasons(machine.facts())] == ["unknown"]


def test_files_that_do_not_open(machine):
    found = reasons(machine.facts_without_rights())
    assert [reason.name for reason in found] == ["no_permission"]
    assert "/dev/nvidia-uvm, /dev/nvidia0, /dev/nvidiactl" in found[0].seen
    group = (machine.root / "dev/nvidia0").group()
    mend = "chmod a+rw /dev/nvidia*" if group == "root" else f"usermod -aG {group}"
    assert mend in found[0].mend
    container(machine)
    assert "--gpus all" in reasons(machine.facts_without_rights())[0].mend


DRIVER = """
int cuDriverGetVersion(int *version) { *version = CUDA; return 0; }
int cuInit(unsigned flags) { return CODE; }
int cuGetErrorName(int code, const char **name) { *name = NAME; return 0; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("code", "name", "cuda", "reason"),
    [
        (0, "CUDA_SUCCESS", 12080, "unknown"),
        (802, "CUDA_ERROR_SYSTEM_NOT_READY", 12080, "driver_does_not_start"),
        (803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", 12080, "driver_changed"),
        (0, "CUDA_SUCCESS", 11040, "old_driver"),
    ],
)
def test_the_driver_is_asked(code, name, cuda, reason, machine):
    """A library of three functions answers in place of NVIDIA's."""
    library = machine.root / "usr/lib64/libcuda.so.550.54.14"
    if reason == "old_driver":  # where the kernel tells no version, as in WSL
        wsl(machine)
        dxg(machine)
        library = machine.write("usr/lib/wsl/lib/libcuda.so.1")
        machine.write("usr/lib/wsl/lib/libnvidia-ml.so.1")
    source = machine.root / "driver.c"
    source.write_text(DRIVER)
    named = [f"-DCODE={code}", f'-DNAME="{name}"', f"-DCUDA={cuda}"]
    subprocess.run(["cc", "-shared", "-fPIC", *named, source, "-o", library], check=True)
    facts = machine.facts()
    assert (facts.answer, facts.driver_cuda) == (name, f"{cuda // 1000}.{cuda % 1000 // 10}")
    assert [found.name for found in reasons(facts)] == [reason]


def test_other_systems(machine):
    facts = machine.facts()
    found = reasons(replace(facts, system="Windows"))
    assert [reason.name for reason in found] == ["windows"]
    assert "wsl --install" in found[0].mend
    machine.remove("sys/*", "dev/*", "usr/*")
    found = reasons(replace(machine.facts(), system="Darwin"))
    assert [reason.name for reason in found] == ["no_gpu"]
    assert "KERAS_BACKEND=torch" in found[0].mend


def test_the_older_file_of_the_kernel_tells_the_version_too(machine):
    machine.remove("sys/module")
    about = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build\n"
    machine.write("proc/driver/nvidia/version", about)
    assert machine.facts().module == "550.54.14"
    machine.write("proc/driver/nvidia/version", re.sub(" Open| for x86_64", "", about))
    assert machine.facts().module == "550.54.14"


def test_libraries_of_32_bits_do_not_count(machine):
    machine.write("etc/ld.so.conf.d/a.conf", "/usr/lib/i386-linux-gnu\n")
    machine.write("usr/lib/i386-linux-gnu/libcuda.so.1")
    assert machine.facts().libraries["libcuda.so.1"].endswith("usr/lib64/libcuda.so.1")
