"""The checksum of TensorFlow's checkpoints: CRC-32C, masked. NumPy makes it of hundreds of megabytes in a second.

A CRC is linear. Of two halves with the CRCs a and b, taken without the usual inversions, the whole has advance(a) ^ b, where
`advance` is the effect of as many zero bytes as b has: a linear map of 32 bits, so four tables of 256 numbers. All neighbours
are joined at once, again and again, from words of 4 bytes to a whole block.

Format: RFC 3720, appendix B.4 (polynomial 0x1EDC6F41, bits reflected).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_BLOCK_LEVELS = 18  # 2^18 words, 1 MiB


def crc32c(data: bytes | memoryview | npt.NDArray[np.uint8]) -> int:
    """Return the CRC-32C of bytes or of a uint8 array."""
    data = np.frombuffer(data, np.uint8)
    state = 0xFFFFFFFF
    head = len(data) % 4 if len(data) > 512 else len(data)  # byte by byte: little, and what makes the rest whole words
    for byte in data[:head].tolist():
        state = state >> 8 ^ _BYTE[(state ^ byte) & 255]
    words, size = data[head:].view("<u4"), 1 << _BLOCK_LEVELS
    for begin in range(0, len(words), size):
        state = _of_words(state, words[begin : begin + size])
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """What TensorFlow writes for a CRC, so that the CRC of data with CRCs in it is no trivial one."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _of_words(state, words):
    levels = (len(words) - 1).bit_length()
    folded = np.zeros(1 << levels, np.uint32)  # zeros before the data leave a CRC as it is
    folded[-len(words) :] = words
    folded[-len(words)] ^= np.uint32(state)
    for advance in _ADVANCE[:levels]:
        folded = _mapped(advance, folded[::2]) ^ folded[1::2]
    return int(_mapped(_ADVANCE[0], folded)[0])


def _mapped(tables, words):
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(-1, 4)
    result = tables[0].take(octets[:, 0])
    for place in (1, 2, 3):
        result ^= tables[place].take(octets[:, place])
    return result


def _tables():
    """Return the table of one byte, and for each level those of `advance` by 4 · 2^level zero bytes."""
    byte = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        byte = np.where(byte & 1, byte >> 1 ^ np.uint32(0x82F63B78), byte >> 1).astype(np.uint32)
    each = [np.arange(256, dtype=np.uint32) << np.uint32(8 * place) for place in range(4)]
    words = each
    for _ in range(4):
        words = [word >> np.uint32(8) ^ byte[word & 255] for word in words]
    levels = [np.stack(words)]
    for _ in range(_BLOCK_LEVELS):
        levels.append(np.stack([_mapped(levels[-1], _mapped(levels[-1], word)) for word in each]))
    return byte.tolist(), levels


_BYTE, _ADVANCE = _tables()
