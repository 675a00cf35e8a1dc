"""`python -m keras_metric.export.runtime DIR`: load it as a server does, print its signatures."""

import sys

from . import Runtime, Tensor


def _side(tensors: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in tensors.items())


def main() -> None:
    with Runtime(sys.argv[1]) as served:
        for name, signature in served.signatures.items():
            print(f"{name}: {_side(signature.inputs)} -> {_side(signature.outputs)}")


if __name__ == "__main__":
    main()
