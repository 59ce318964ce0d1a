"""The numbers of the safetensors format: of messages on the wire, and of checkpoints on disk."""

from collections.abc import Mapping

import numpy as np

TENSOR_DTYPES: Mapping[str, str] = {
    "<f4": "F32",
    "<f8": "F64",
    "<f2": "F16",
    "|i1": "I8",
    "|u1": "U8",
    "<i2": "I16",
    "<u2": "U16",
    "<i4": "I32",
    "<u4": "U32",
    "<i8": "I64",
    "<u8": "U64",
}
"""The names that safetensors has for dtypes, by the string that NumPy has for it in little-endian order."""

NUMPY_DTYPES: Mapping[str, np.dtype[np.generic]] = {
    tensor_dtype: np.dtype(dtype) for dtype, tensor_dtype in TENSOR_DTYPES.items()
}
