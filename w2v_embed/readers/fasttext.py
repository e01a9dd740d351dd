"""fastText's .bin, which gensim reads, once its layout is known to be whole.

    int32 magic, version; 12 × int32: dim … model, bucket, minn, maxn …; float64 t
    int32 words and labels, words, labels; int64 tokens, pruned
    a word or label: its bytes, 0, int64 count, int8 type
    pruned × (int32, int32)
    bool quantized; int64 rows (words + bucket), dim; float32 × rows × dim
    the output matrix, which is not read

gensim 4.4 itself never ends on a file that is cut inside a word, and believes every size it is told.
"""

import mmap
import struct

_ARGUMENTS = struct.Struct("<14id")
_COUNTS = struct.Struct("<3i2q")
_ENTRY = 9  # bytes of an entry after its word and the zero
_SHAPE = struct.Struct("<?2q")
_SUPERVISED = 3


def load_fasttext(path, encoding):
    """`path` → `gensim.models.fasttext.FastTextKeyedVectors`.

    Raises:
        ValueError: it is cut off, lies about its sizes, or holds no vectors of words.
    """
    check_fasttext(path)
    from gensim.models.fasttext import load_facebook_vectors

    try:
        return load_facebook_vectors(str(path), encoding=encoding)
    except Exception as error:  # gensim lets struct, assertion, unicode and NotImplemented errors through
        raise ValueError(
            f"{path} looks like a fastText .bin, but gensim cannot read it ({error!r}). Download it again."
        ) from error


def check_fasttext(path):
    """Walk through the layout: each size against what the file holds."""

    def cut(what):
        return ValueError(f"{path} is a fastText .bin that is cut off or damaged: {what}. Download it again.")

    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)
        at = _ARGUMENTS.size
        if size < at + _COUNTS.size:
            raise cut(f"expected a header of {at + _COUNTS.size} bytes, got {size}")
        _, _, dim, *_, model, bucket, minn, maxn, _, _ = _ARGUMENTS.unpack_from(data)
        entries, words, labels, _, pruned = _COUNTS.unpack_from(data, at)
        at += _COUNTS.size
        if model == _SUPERVISED or labels:
            raise ValueError(
                f"{path} is a fastText classifier; expected word vectors. Export them: fasttext print-word-vectors"
            )
        if min(entries, words, bucket, minn, maxn) < 0 or dim < 1 or entries != words or max(pruned, 0) * 8 > size:
            raise cut(
                f"the header says {words} words of {entries} entries, {dim} numbers a word, {bucket} buckets, "
                f"n-grams of {minn} to {maxn} characters, {pruned} pruned"
            )
        if entries * (_ENTRY + 1) + 4 * dim * (words + bucket) > size:
            raise cut(
                f"the header says {words} words and {bucket} buckets of {dim} numbers, but the whole file has {size} bytes"
            )
        for entry in range(entries):
            at = data.find(b"\0", at) + 1 + _ENTRY
            if at <= _ENTRY or at > size:
                raise cut(f"it ends in word {entry + 1} of {entries}")
        at += 8 * max(pruned, 0)
        if at + _SHAPE.size > size:
            raise cut("it ends before the vectors")
        quantized, rows, width = _SHAPE.unpack_from(data, at)
        if quantized:
            raise ValueError(
                f"{path} is a quantized fastText model (.ftz), which gensim cannot read; take the .bin of the same name."
            )
        if width != dim or rows != words + bucket:
            raise cut(f"expected {words + bucket} rows of {dim} numbers, got {rows} rows of {width}")
        if at + _SHAPE.size + 4 * rows * dim > size:
            raise cut(f"expected {4 * rows * dim} bytes of vectors, got {size - at - _SHAPE.size}")
