"""A machine laid out in a folder: it has a GPU, and nothing is wrong until a test says so."""

import os
import shutil
from pathlib import Path

import pytest

from zoo.gpu.backends import Look
from zoo.gpu.facts import gather

NEEDS = {  # what tensorflow 2.21 requires for GPUs, with versions that fit
    "nvidia-cublas-cu12": ("<13.0,>=12.5.3.2", "12.9.1.4"),
    "nvidia-cuda-runtime-cu12": ("<13.0,>=12.5.82", "12.9.79"),
    "nvidia-cudnn-cu12": ("<10.0,>=9.3.0.75", "9.10.2.21"),
    "nvidia-nccl-cu12": ("<3.0,>=2.27.7", "2.27.7"),
}


class Machine:
    """`root` has the files, `packages` what is installed, `environment` the variables."""

    def __init__(self, folder: Path):
        self.root, self.packages, self.programs = (folder / n for n in ("root", "site", "bin"))
        self.programs.mkdir()
        self.environment = {"PATH": str(self.programs)}
        self.look = Look("tensorflow", ("CPU:0",), (), "12.5.1")
        self.write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
        self.write("sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
        self.write("sys/bus/pci/devices/0000:02:00.0/vendor", "0x1af4\n")
        self.write("proc/sys/kernel/osrelease", "6.8.0-generic\n")
        self.driver("550.54.14")
        for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            self.write(f"dev/{name}")
        extra = [f'{name}{wanted}; extra == "and-cuda"' for name, (wanted, _) in NEEDS.items()]
        self.install("tensorflow", "2.21.0", extra)
        for name, (_, version) in NEEDS.items():
            self.install(name, version)

    def write(self, place: str, text: str = "") -> Path:
        file = self.root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def remove(self, *places: str) -> None:
        for place in places:
            for found in self.root.glob(place):
                shutil.rmtree(found) if found.is_dir() else found.unlink()

    def driver(self, version: str) -> None:
        """The kernel's module and, by their names, the libraries of the driver."""
        self.write("sys/module/nvidia/version", f"{version}\n")
        self.remove("usr/lib64/lib*")
        for library in ("libcuda.so", "libnvidia-ml.so"):
            file = self.write(f"usr/lib64/{library}.{version}")
            (file.parent / f"{library}.1").symlink_to(file.name)

    def install(self, name: str, version: str, requires: list[str] | None = None) -> None:
        for old in self.packages.glob(f"{name}-[0-9]*"):
            shutil.rmtree(old)
        folder = self.packages / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires or []]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    def uninstall(self, name: str) -> None:
        for folder in self.packages.glob(f"{name}-[0-9]*"):
            shutil.rmtree(folder)

    def smi(self, cards: list[str], processes: list[str]) -> None:
        """A program `nvidia-smi` that prints these rows."""
        program = self.programs / "nvidia-smi"
        rows = {"gpu": "\n".join(cards), "compute-apps": "\n".join(processes)}
        cases = "".join(f"*query-{what}=*) echo '{text}';; " for what, text in rows.items())
        program.write_text(f'#!/bin/sh\ncase "$1" in {cases} esac\n')
        program.chmod(0o755)

    def facts(self):
        path = [str(self.packages)]
        return gather(self.look, self.root, path, self.environment)

    def facts_without_rights(self):
        """As somebody to whom the files of the devices do not open; root becomes nobody for it."""
        for file in self.root.glob("dev/*"):
            file.chmod(0)
        here, user = os.getcwd(), os.geteuid()
        os.chdir(self.root)  # the folders above may be closed, too
        try:
            if user == 0:
                os.seteuid(65534)
            return gather(self.look, Path("."), [], self.environment)
        finally:
            os.seteuid(user)
            os.chdir(here)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)
