"""The GGUF container (version 3, little-endian), as far as LoRA files need it."""
import struct

ALIGNMENT = 32
UINT32, FLOAT32, BOOL, STRING = 4, 6, 7, 8
TYPES = {"F32": 0, "F16": 1, "BF16": 30}  # ggml's numbers


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    kind, form = {bool: (BOOL, "?"), int: (UINT32, "I"), float: (FLOAT32, "f")}[type(value)]
    return text(key) + struct.pack(f"<I{form}", kind, value)


def padding(size):
    return bytes(-size % ALIGNMENT)


def write(path, metadata, tensors):
    """@param metadata  key -> string, integer, float or truth value
    @param tensors   (name, number format, shape with the rows first, bytes) each
    """
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(pair(key, value) for key, value in metadata.items())
    offset = 0
    for name, dtype, shape, data in tensors:
        sizes = shape[::-1]  # ggml's first dimension is the contiguous one
        header += text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        header += struct.pack("<IQ", TYPES[dtype], offset)
        offset += len(data) + len(padding(len(data)))
    with path.open("wb") as file:
        file.write(header + padding(len(header)))
        for *_, data in tensors:
            file.write(data)
            file.write(padding(len(data)))
