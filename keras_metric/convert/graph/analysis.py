"""What can be known of a graph before it is rewritten: formats, strides, pools that feed back."""

from fractions import Fraction

from keras import layers

from keras_metric.convert.graph.trace import Graph, Step

GLOBAL_POOLS = (
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
)
REDUCTIONS = ("Mean", "Max", "Amax", "Sum", "Min", "Amin", "Var", "Std")
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
UPSAMPLING = (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)
_REORDERING = ("Permute", "Transpose", "Moveaxis", "Swapaxes", "Reshape")


def is_channels_first(graph: Graph, image) -> bool:
    """The format of an input is that of the first layer that reads its positions."""
    reached = {id(image)}
    for step in graph.steps:
        if not any(id(x) in reached for x in step.tensors):
            continue
        if type(step.op).__name__ in _REORDERING:
            return False
        if hasattr(step.op, "data_format") and not isinstance(step.op, layers.Flatten):
            return step.op.data_format == "channels_first"
        reached.update(id(x) for x in step.outputs)
    return False


def strides(graph: Graph, images) -> dict[int, tuple[Fraction, ...]]:
    """Input pixels between neighbouring positions of each feature map, by id of its tensor."""
    found = {id(x): (Fraction(1),) * (len(x.shape) - 2) for x in images}
    for step in graph.steps:
        maps = [found[id(x)] for x in step.tensors if id(x) in found]
        if not maps or _leaves_the_grid(step):
            continue
        coarsest = max(maps, key=sum)
        factor = step_stride(step.op, len(coarsest))
        for x in step.outputs:
            if len(x.shape) == len(coarsest) + 2:
                found[id(x)] = tuple(s * f for s, f in zip(coarsest, factor, strict=True))
    return found


def step_stride(op, rank: int) -> tuple[Fraction, ...]:
    if isinstance(op, UPSAMPLING):
        size = op.size if isinstance(op.size, tuple) else (op.size,) * rank
        return tuple(Fraction(1, s) for s in size)
    if isinstance(op, TRANSPOSED):
        return tuple(Fraction(1, s) for s in op.strides)
    given = getattr(op, "strides", None)
    if isinstance(given, int):
        given = (given,) * rank
    return tuple(map(Fraction, given)) if given else (Fraction(1),) * rank


def feeds_back(graph: Graph, maps: dict[int, tuple], pooled: Step) -> bool:
    """Whether what `pooled` computes meets a feature map again (squeeze-excite): not a head."""
    below = {id(x) for x in pooled.outputs}
    for step in graph.steps:
        ids = [id(x) for x in step.tensors]
        if not any(i in below for i in ids):
            continue
        if any(i in maps and i not in below for i in ids):
            return True
        below.update(id(x) for x in step.outputs)
    return False


def _leaves_the_grid(step: Step) -> bool:
    """Pooled away; a reduction over the channels alone keeps its positions."""
    if isinstance(step.op, (*GLOBAL_POOLS, layers.Flatten)):
        return True
    if type(step.op).__name__ not in REDUCTIONS or len(step.tensors) != 1:
        return False
    rank = len(step.tensors[0].shape)
    return step.op.axis is None or {a % rank for a in step.op.axis} not in ({1}, {rank - 1})
