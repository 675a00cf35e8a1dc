"""What changed between Keras 1, 2 and 3 and what is done about it, as docs/convert.md shows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras_metric.convert.loading import mending

ANY = object()
"""As a value of `Change.dropped`: whatever the file says."""

REMOVED = {
    "TFOpLambda": "is an operation of TensorFlow, not a layer",
    "SlicingOpLambda": "is an operation of TensorFlow, not a layer",
    "TensorFlowOpLayer": "is an operation of TensorFlow, not a layer",
    "KerasLayer": "is a model of TensorFlow Hub, not a layer",
    "DenseFeatures": "reads feature columns, which Keras 3 does not have",
    "SReLU": "was removed in Keras 2",
    "ParametricSoftplus": "was removed in Keras 2",
    "Highway": "was removed in Keras 2",
    "MaxoutDense": "was removed in Keras 2",
}


@dataclass(frozen=True)
class Change:
    """A row: what changed, since when, what is done, which version wrote the reference, if any.

    Attributes:
        dropped: arguments that say nothing about predictions, with the values for which that is
            so. Any other value is refused.
        only: the classes that `dropped` holds for; empty for all.
        absent: arguments with what an old file that lacks them means.
        mend: (class, configuration) -> the same of Keras 3; raises NotImplementedError with why
            there is none.
    """

    what: str
    since: str
    here: str
    reference: str
    dropped: dict[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    absent: dict[str, Any] = field(default_factory=dict)
    mend: Callable[[str, dict], tuple[str, dict]] | None = None

    def without_effect(self, kind: str, key: str, value) -> bool:
        """Whether an argument may be left out."""
        if key not in self.dropped or (self.only and kind not in self.only):
            return False
        return self.dropped[key] is ANY or value in self.dropped[key]


def table() -> str:
    """The rows as Markdown."""
    head = ["| what changed | since | here | reference value by |", "|---|---|---|---|"]
    return "\n".join(
        head + [f"| {c.what} | {c.since} | {c.here} | {c.reference} |" for c in CHANGES]
    )


_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_SEPARABLE = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")

CHANGES: tuple[Change, ...] = (
    Change(
        "kernels of the Theano backend are those of a true convolution",
        "2.4",
        "flipped along the image axes",
        "Keras 2.0.9 and 1.2.2 on Theano",
    ),
    Change(
        '`UpSampling2D(interpolation="bilinear")` from before TensorFlow 2 (Keras 2.2.3 to 2.3)',
        "2.4",
        "refused: pixels lie elsewhere",
        "Keras 2.2.5",
    ),
    Change(
        '`padding="same"` of the Theano backend with strides, even windows or average pooling',
        "2.4",
        "refused: other pixels are read",
        "Keras 2.0.9 on Theano",
    ),
    Change(
        "`hard_sigmoid` was `clip(0.2 x + 0.5, 0, 1)`, now `relu6(x + 3) / 6`",
        "3",
        "the old function, `keras_2_hard_sigmoid`",
        "tf_keras 2.21",
        mend=mending.hard_sigmoid,
    ),
    Change(
        "`GRU` without `reset_after` resets before the product, now after it",
        "3",
        "`reset_after=False`",
        "Keras 2.0.9",
        absent={"reset_after": False},
    ),
    Change(
        "`data_format` left out meant channels last in 1-D, random and flattening layers; now "
        "the setting of Keras",
        "3",
        '`data_format="channels_last"`',
        "Keras 2.0.9",
        absent={"data_format": "channels_last"},
    ),
    Change(
        "`LeakyReLU(alpha)` is `negative_slope`",
        "3",
        "renamed",
        "tf_keras 2.21",
        mend=mending.leaky_relu,
    ),
    Change(
        "`CuDNNLSTM` and `CuDNNGRU` are `LSTM` and `GRU(reset_after=True)`",
        "2.4",
        "renamed; kernels and biases rearranged",
        "tf_keras 2.21 (its own rearrangement)",
        mend=mending.cudnn,
    ),
    Change(
        "`BatchNormalizationV1`, `V2`, `SyncBatchNormalization`, `UnifiedLSTM`, `UnifiedGRU`",
        "2",
        "`BatchNormalization`, `LSTM`, `GRU`",
        "none",
        mend=mending.same_class,
    ),
    Change(
        "`RandomHeight` and `RandomWidth` are gone, `RandomCrop` no longer resizes when predicting",
        "3",
        "`Identity` and `Resizing`, which is what they do outside training",
        "tf_keras 2.21",
    ),
    Change(
        "a mixed precision policy is a `Policy`, now a `DTypePolicy`",
        "3",
        "by its name",
        "tf_keras 2.21",
        mend=mending.policy,
    ),
    Change(
        "`batch_input_shape` of the first layer, `InputLayer(ragged, type_spec)`",
        "3",
        "an input layer with `batch_shape`",
        "tf_keras 2.21",
        dropped={"ragged": (False, None), "type_spec": (None,), "sparse": (False, None)},
        only=("InputLayer",),
        mend=mending.input_shape,
    ),
    Change(
        "`Lambda` code as a list, with `function_type`, `module` and the like",
        "3",
        "read with `safe_mode=False`",
        "none",
        dropped={
            **dict.fromkeys(("function_type", "output_shape_type", "mask_type"), ANY),
            **dict.fromkeys(("module", "output_shape_module", "mask_module"), ANY),
        },
        only=("Lambda",),
        mend=mending.function,
    ),
    Change(
        "`rng_type`, `force_generator`: which random generator",
        "3",
        "left out",
        "tf_keras 2.21",
        dropped={"rng_type": ANY, "force_generator": ANY},
    ),
    Change(
        "`noise_shape` of `SpatialDropout1D`, `2D`, `3D`",
        "3",
        "left out if None, else refused",
        "tf_keras 2.21",
        dropped={"noise_shape": (None,)},
    ),
    Change(
        "`groups` of depthwise, separable and transposed convolutions",
        "3",
        "left out if 1, else refused",
        "tf_keras 2.21",
        dropped={"groups": (1,)},
        only=(*_SEPARABLE, *_TRANSPOSED),
    ),
    Change(
        "`kernel_initializer` and the like, `filters` of depthwise and separable convolutions",
        "3",
        "left out: there is no such kernel",
        "tf_keras 2.21",
        dropped=dict.fromkeys((*_KERNEL, "filters"), ANY),
        only=_SEPARABLE,
    ),
    Change(
        "`implementation` of recurrent layers: how it is computed",
        "3",
        "left out",
        "tf_keras 2.21",
        dropped={"implementation": ANY},
    ),
    Change(
        "`time_major`, `num_constants` of recurrent layers",
        "3",
        "left out if False or None, else refused",
        "tf_keras 2.21",
        dropped={"time_major": (False,), "num_constants": (None, 0)},
    ),
    Change(
        "`query_shape`, `key_shape`, `value_shape` of `MultiHeadAttention`",
        "3",
        "left out: found when it is called",
        "tf_keras 2.21",
        dropped=dict.fromkeys(("query_shape", "key_shape", "value_shape"), ANY),
    ),
    Change(
        "tensors in the keywords of a call (`value=` of attention), first states behind an input",
        "3",
        "connected",
        "tf_keras 2.21",
    ),
    Change(
        "`axis` as a list, as of `LayerNormalization(axis=[1, 2, 3])`",
        "3",
        "kept; a list of one as a number",
        "tf_keras 2.21",
        mend=mending.axis,
    ),
    Change(
        "`causal` of `Attention`",
        "2.10",
        "left out if False, else refused",
        "none",
        dropped={"causal": (False,)},
    ),
    Change(
        "`virtual_batch_size`, `renorm` of `BatchNormalization`",
        "3",
        "left out if None or False, else refused",
        "none",
        dropped={
            "virtual_batch_size": (None,),
            "renorm": (False,),
            "adjustment": (None,),
            "fused": ANY,
        },
    ),
    Change(
        "`ThresholdedReLU(theta)` is gone",
        "3",
        "a layer of this package",
        "tf_keras 2.21",
    ),
    Change(
        "`LocallyConnected1D` and `2D` are gone",
        "3",
        "layers of this package; kernels of all three `implementation`s",
        "tf_keras 2.21, Keras 2.2.5",
    ),
    Change(
        "`Embedding(input_length)`",
        "3",
        "left out",
        "tf_keras 2.21",
        dropped={"input_length": ANY},
    ),
    Change(
        "`dynamic`, `robust_masking`, `rank`, `vocabulary_size`; `trainable` where no weights are",
        "3",
        "left out if they change nothing, else refused",
        "tf_keras 2.21",
        dropped={
            "dynamic": (False,),
            "robust_masking": (False, None),
            "softmax_robust_masking": (False, None),
            "rank": ANY,
            "vocabulary_size": ANY,
            "trainable": ANY,
        },
    ),
    Change(
        "`data_format` of `Cropping1D` and `UpSampling1D`",
        "2.4",
        'left out if "channels_last", else refused',
        "none",
        dropped={"data_format": ("channels_last",)},
    ),
    Change(
        "a `Sequential` is a list of layers",
        "2.2.3",
        "read",
        "Keras 2.0.9, Keras 1.2.2",
    ),
    Change(
        "calls of a nested model counted from 1, one output as a list, `/` in names",
        "3",
        "counted from 0, unpacked, renamed",
        "tf_keras 2.21",
    ),
    Change(
        "names of Keras 1: `Convolution2D(nb_filter, nb_row, nb_col, subsample, border_mode, "
        "dim_ordering, init, W_regularizer, bias)`, `Dense(output_dim)`, `Dropout(p)`, ...",
        "2.0",
        "renamed",
        "Keras 1.2.2",
    ),
    Change(
        "weights of Keras 1: `th` kernels as (filters, channels, rows, columns), one matrix per "
        "gate, the backend only in the weights' names",
        "2.0",
        "rearranged",
        "Keras 1.2.2 on Theano",
    ),
    Change(
        "`Merge(mode)` of Keras 1",
        "2.0",
        '`Add`, `Multiply`, `Concatenate`, `Average`, `Maximum`, `Dot`; "cos", code and models '
        "inside are refused",
        "Keras 1.2.2",
    ),
    Change(
        "`BatchNormalization(mode=1)` and `(mode=2)` of Keras 1",
        "2.0",
        "refused: statistics of the sample or batch",
        "none",
    ),
    Change(
        "`SReLU`, `ParametricSoftplus`, `Highway`, `MaxoutDense` of Keras 1",
        "2.0",
        "refused by name",
        "none",
    ),
)
