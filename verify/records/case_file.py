"""The file of a case: arrays, bit for bit, as an ``.npz`` that ``numpy.load`` opens, never with pickle.

dtypes that NumPy does not define (bfloat16, float8) are stored as unsigned integers of their width, and named
in the entry ``__dtypes__``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def pack(arrays: Mapping[str, Any]) -> bytes:
    """The arrays as the bytes of an .npz file."""
    import numpy as np

    buffer, dtypes = io.BytesIO(), {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise TypeError(f"{name}: a case holds arrays and numbers; got {type(value).__name__}")
            if array.dtype.names:  # float0 has no bytes
                dtypes[name], array = "float0", np.zeros(array.shape, bool)
            elif array.dtype.isbuiltin == 2:
                dtypes[name] = array.dtype.name
                bits = np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
                array = bits.reshape(array.shape)
            _add(archive, name, array)
        _add(archive, "__dtypes__", np.frombuffer(json.dumps(dtypes).encode(), np.uint8))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    from numpy.lib.format import write_array

    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
        write_array(file, array, allow_pickle=False)


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """The arrays that ``pack`` wrote, the same bits in the same dtypes."""
    from numpy.lib.format import read_array

    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.namelist():
            with archive.open(entry) as file:
                arrays[entry.removesuffix(".npy")] = read_array(file, allow_pickle=False)
    dtypes = json.loads(arrays.pop("__dtypes__").tobytes())
    return {name: _restored(array, dtypes.get(name)) for name, array in arrays.items()}


def _restored(array: np.ndarray, dtype: str | None) -> np.ndarray:
    import numpy as np

    if dtype is None:
        return array
    if dtype == "float0":
        return np.zeros(array.shape, [("float0", np.void, 0)])
    import ml_dtypes

    return array.view(np.dtype(getattr(ml_dtypes, dtype)))
