"""The one place where the encoders import Keras and ask which backend runs: how functions are compiled, for which shapes, and
how many batches are computed at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

from ..threads import cores, told

try:
    import keras
    from keras.backend import standardize_dtype
except ImportError as _error:
    raise ImportError(
        f"the encoders need Keras 3 and one of its backends, and importing Keras failed: {_error}. Install them: "
        "pip install 'w2v-embed[contextual]' and one of 'w2v-embed[tensorflow]', 'w2v-embed[jax]' and 'w2v-embed[torch]'; "
        "the environment variable KERAS_BACKEND names the one that is used."
    ) from _error


Tensor: TypeAlias = Any  # of whichever backend runs
__all__ = [
    "compiled",
    "compiles_each_shape",
    "compiles_long",
    "compute_with",
    "fused_attention",
    "fused_dense",
    "fused_norm",
    "fuses_gelu",
    "keras",
    "limit_threads",
    "ops",
    "overlapped",
    "product",
    "standardize_dtype",
    "to_array",
    "to_tensors",
]

_T = TypeVar("_T")
_R = TypeVar("_R")

_writer: ContextVar[Any] = ContextVar("writer", default=None)


class _Operations:
    """`keras.ops`, or what stands in for it while a graph is written."""

    def __getattr__(self, name: str) -> Any:
        writer = _writer.get()
        return getattr(keras.ops if writer is None else writer, name)


ops: Any = _Operations()


@contextmanager
def compute_with(writer: Any) -> Iterator[None]:
    """While it lasts, and in this thread, `ops` are the methods of `writer`."""
    token = _writer.set(writer)
    try:
        yield
    finally:
        _writer.reset(token)


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return `function` of tensors (nested in dicts and tuples), compiled by the backend; it computes no gradients."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        jitted = jax.jit(function)

        def exact(*args: Any) -> Tensor:
            # On GPUs JAX multiplies float32 with ten bits of each number unless it is told not to.
            with jax.default_matmul_precision("highest"):
                return jitted(*args)

        return exact
    if name == "tensorflow":
        import tensorflow as tf

        # Shapes stay open: one trace serves all lengths and batch sizes.
        return tf.function(function, reduce_retracing=True)
    if name == "torch":
        import torch

        return torch.inference_mode()(function)
    raise ValueError(f"the encoders run on the Keras backends tensorflow, jax and torch, not on {name!r}.")


def compiles_each_shape() -> bool:
    """Whether a new shape costs a compilation, so that batches had better come in few shapes."""
    return keras.backend.backend() == "jax"


def compiles_long() -> bool:
    """Whether that compilation takes seconds: on GPUs, where it tries out many ways."""
    if not compiles_each_shape():
        return False
    import jax

    return jax.default_backend() != "cpu"


def fuses_gelu() -> bool:
    """Whether GELU is one pass over memory; TensorFlow makes five, which is a fifteenth of an encoder's time."""
    return keras.backend.backend() != "tensorflow"


_FUSED = {None: ("none", ""), "gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "relu": ("relu", "")}
_FUSED["gelu_pytorch_tanh"] = _FUSED["gelu_new"]


def _by_torch():
    """Whether torch computes, and no graph is written."""
    return _writer.get() is None and keras.backend.backend() == "torch"


def fused_dense(x: Tensor, kernel: Tensor, bias: Tensor | None, activation: str | None) -> Tensor | None:
    """Return `activation(x @ kernel + bias)` in one pass over memory, or None where the backend has nothing for that.

    torch has on processors: oneDNN's product, which torch's compiler uses, and which is a fifth faster than its eager one.
    """
    if (
        not _by_torch()
        or standardize_dtype(kernel.dtype) != "float32"
        or activation not in _FUSED
        or not _on_processor(kernel)
    ):
        return None
    import torch

    # It is not documented, so its absence is no error.
    fused = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
    if not torch.is_inference_mode_enabled():
        return None  # it has no gradient
    name, algorithm = _FUSED[activation]
    return fused and fused(x, kernel.T, bias, name, [], algorithm)


def product(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """`x @ kernel + bias` of the last axis. Two axes at a time: a product of three is slower on TensorFlow."""
    if _by_torch():
        import torch

        return torch.nn.functional.linear(x, kernel.T, bias)
    shape, flat = ops.shape(x), _writer.get() is None
    y = ops.matmul(ops.reshape(x, (-1, shape[-1])) if flat else x, kernel)
    y = y if bias is None else y + bias
    return ops.reshape(y, (*shape[:-1], ops.shape(kernel)[-1])) if flat else y


def fused_attention(qkv: Tensor, added: Tensor, number: int, scale: float) -> Tensor | None:
    """Return what each token takes from the others, `(B, T, N · D)`, by one function; None where there is none that is exact.

    ONNX Runtime has one, and torch, outside of training: there its softmax is in float32 whatever the tensors are.

    Args:
        qkv: queries, keys and values side by side, `(B, T, 3 · N · D)`.
        added: to the scores, `(B or 1, N or 1, T or 1, T)`.
        number: of heads, N.
        scale: by which scores are multiplied before.
    """
    writer = _writer.get()
    if writer is not None:
        return writer.attention(qkv, added, number, scale)
    if not _by_torch():
        return None
    import torch

    if not torch.is_inference_mode_enabled():
        return None  # weights of attention may be dropped
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, number, width // 3 // number).permute(2, 0, 3, 1, 4)
    attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, added.to(q.dtype), scale=scale)
    return attended.transpose(1, 2).reshape(batch, length, width // 3)


def fused_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor | None:
    """Return the layer normalisation of the last axis, summed in float32, in one pass; None where no backend has it."""
    if not _by_torch() or x.dtype != gamma.dtype:
        return None
    import torch

    return torch.nn.functional.layer_norm(x, x.shape[-1:], gamma, beta, eps)


def _on_processor(weight):
    return "cpu" in str(weight.device).lower()


def limit_threads() -> None:
    """Let the backend have as many threads as W2V_EMBED_THREADS says, where it can be told: JAX looks at affinity alone."""
    threads = told()
    if threads is None:
        return
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(threads)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with suppress(RuntimeError):  # it computes already
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)


def overlapped(function: Callable[[_T], _R], items: Iterable[_T], weight: Tensor | None) -> Iterator[_R]:
    """Yield `function(item)` for each item in turn; two are computed at any time where `weight` lies on a CPU.

    `weight` is None where the backend computes nothing, but a library that shares its threads by itself.

    What one batch leaves idle, between its products of matrices and where a library uses one core, serves the other.
    No more than three results exist at once.
    """
    if (weight is not None and not _on_processor(weight)) or cores() == 1:
        yield from map(function, items)
        return
    with _two_workers(weight) as pool:
        running: deque[Future[_R]] = deque()
        try:
            for item in items:
                running.append(pool.submit(function, item))
                if len(running) > 2:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _two_workers(weight):
    """Two threads; on torch each has half of its cores, since torch gives every thread all of them."""
    if weight is None or keras.backend.backend() != "torch":
        with ThreadPoolExecutor(2) as pool:
            yield pool
        return
    import torch

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(2, initializer=lambda: torch.set_num_threads(max(1, threads // 2))) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # for threads that are made later; this one never changed


def to_tensors(arrays: Mapping[str, Any], dtype: str = "float32") -> dict[str, Tensor]:
    """Return a dict of float32 arrays as tensors of the backend."""
    return {name: ops.convert_to_tensor(array, dtype) for name, array in arrays.items()}


def to_array(x: Tensor) -> Any:
    """Return a tensor as a float32 array, copied no more often than it must be."""
    x = ops.cast(x, "float32")
    return x.numpy(force=True) if keras.backend.backend() == "torch" else ops.convert_to_numpy(x)
