"""The result of an audit, as text and as JSON."""

from dataclasses import dataclass
from pathlib import Path

from keras_metric.export.runtime.description import Signature


@dataclass(frozen=True)
class Audit:
    """The findings on one SavedModel.

    Attributes:
        folder: the version folder.
        signatures: inputs and outputs by name of the signature.
        operations: the operations behind the signatures, with the number of places they occur.
        on_cpu: the operations of each signature that have no GPU kernel.
        sizes: bytes of `graph`, `variables` and `assets`.
        faults: reasons why it should not be served; empty if there are none.
    """

    folder: Path
    signatures: dict[str, Signature]
    operations: dict[str, int]
    on_cpu: dict[str, tuple[str, ...]]
    sizes: dict[str, int]
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.faults

    def as_dict(self) -> dict:
        """The findings in the types of JSON."""
        return {
            "folder": str(self.folder),
            "ok": self.ok,
            "faults": list(self.faults),
            "signatures": {
                name: {
                    "inputs": {key: str(tensor) for key, tensor in signature.inputs.items()},
                    "outputs": {key: str(tensor) for key, tensor in signature.outputs.items()},
                }
                for name, signature in self.signatures.items()
            },
            "operations": self.operations,
            "on_cpu": {name: list(operations) for name, operations in self.on_cpu.items()},
            "sizes": self.sizes,
        }

    def __str__(self) -> str:
        rows = [
            (name, _side(signature.inputs), _side(signature.outputs))
            for name, signature in self.signatures.items()
        ]
        sizes = ", ".join(f"{part} {size / 2**20:.2f} MB" for part, size in self.sizes.items())
        return "\n".join(
            [
                f"{self.folder}",
                "",
                *_table([("signature", "takes", "answers"), *rows]),
                "",
                f"operations   {sum(self.operations.values())} of {len(self.operations)} types",
                *self._cpu_only(),
                f"size         {sizes}",
                "",
                *(f"fault        {fault}" for fault in self.faults),
                f"verdict      {'ok' if self.ok else 'not fit to serve'}",
            ]
        )

    def _cpu_only(self) -> list[str]:
        """A line for each set of operations, with the signatures that share it."""
        sharing: dict[tuple[str, ...], list[str]] = {}
        for name, operations in self.on_cpu.items():
            sharing.setdefault(operations, []).append(name)
        return [
            f"on the CPU   of {', '.join(names)}: {', '.join(operations)}"
            if operations
            else f"on the GPU   all of {', '.join(names)}"
            for operations, names in sorted(sharing.items())
        ]


def _side(tensors: dict) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in tensors.items())


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
