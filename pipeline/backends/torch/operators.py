"""Which of PyTorch's operators only compute.

Operators are listed by `torch._C._jit_get_all_schemas()`. Of those that PyTorch itself registers,
`aten::save` and `aten::from_file` write and read files, and `debugprims::load_tensor` may. Others
that do are in libraries beside it, such as `image::read_file` of torchvision; so namespaces are
listed that compute, not those that do more.
"""

from __future__ import annotations

NAMESPACES = frozenset(
    (
        *("aten", "prim", "prims", "mkldnn", "mkldnn_prepacked", "mkl", "onednn", "sparse"),
        *("quantized", "_quantized", "quantized_decomposed", "quantization", "xnnpack"),
        *("prepacked", "profiler", "cuda", "torchvision", "torchaudio", "torchao"),
    )
)
"""Namespaces of operators that compute. A prefix before ``::``."""

FILE_OPERATORS = frozenset(("save", "from_file"))
"""The exceptions in `aten`."""

CLASS_NAMESPACES = frozenset(
    ("quantized", "rnn", "xnnpack", "mkldnn", "sparse", "profiler", "cuda")
)
"""Namespaces of classes in C++ (`torch.classes`) that hold weights or the like."""

_WORDS = frozenset(("load", "save", "read", "write", "open", "file", "path"))


def only_computes(namespace: str, name: str) -> bool:
    """Whether an operator reads and writes no files, as far as its name tells."""
    if namespace not in NAMESPACES or name in FILE_OPERATORS:
        return False
    # What those beside PyTorch register changes with their versions; their names have been clear.
    return not _WORDS & set(name.split("_"))
