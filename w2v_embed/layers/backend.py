"""What differs between the backends of Keras, side by side: filling a table, reading rows of it, pooling, and sparse gradients.

This is the only file of the layers that asks which backend runs. `Backend` is what Keras does on all of them; each of the
three behind it is what one backend can do better or must do otherwise. Each is imported when something of it runs.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import TYPE_CHECKING

import keras
import numpy as np

from ..mapped import is_mapped
from ..matrix.blocks import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    Tensor: TypeAlias = Any  # of the backend that runs, or a `keras.KerasTensor`
    Variable: TypeAlias = Any  # a `keras.Variable`
    Gradient: TypeAlias = Any  # a tensor, or what the backend has for a sparse one
    Adam: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

_OUTSIDE = "ids must be from 0 to {}, the rows of layer {!r}, received ids from {} to {}"
# Rows that JAX updates together.
_UPDATED_TOGETHER = 1024


class Backend:
    """What holds on every backend."""

    # Whether XLA leaves the check of ids out of what it compiles.
    xla_drops_assertions: bool = False

    # -- filling a table

    def built_full(self) -> bool:
        """Whether a layer is built out of its table. Where values never change, zeros first would be a second table."""
        return False

    def writes_rows(self, variable: Variable) -> bool:
        """Whether `write_rows` can write into this variable in place, instead of an assignment of a whole copy."""
        return False

    def split_over(self, variable: Variable | None = None) -> Any:
        """How a variable is split over devices; None where it is on one. Without one: how any may be."""
        return None

    def fill_split(
        self, variable: Variable, part: Callable[[int, int], Array], check: Callable[[int, int], None] | None = None
    ) -> None:
        """Fill a variable that is split over devices, of which each process reads and holds its own share.

        Args:
            part: (first row, the one behind the last) → these rows, which nobody changes later.
            check: is called with each that `part` will be, before anything is changed; it may raise.
        """
        raise NotImplementedError

    def is_first(self) -> bool:
        """Whether this is the first of the processes that share a table."""
        return True

    def agreed(self, value: Array) -> Array:
        """What the first of them has."""
        return value

    def wait_for_all(self, name: str) -> None:
        """Go on when all of them are here."""

    def write_rows(self, variable: Variable, start: int, block: Array) -> None:
        """Write `block` into the rows of a variable from `start` on."""
        raise NotImplementedError

    def own_copy(self, table: Array, dtype: str) -> Tensor:
        """The values of `table` for a variable of this dtype, in memory that is not the table's."""
        return np.array(table)

    # -- reading rows

    def take_rows(self, variable: Variable, ids: Tensor, sparse: bool = True) -> Tensor:
        """The rows `ids` of a variable: ids `(...)` → `(..., dim)`.

        torch gives sparse gradients while a `RowSparseAdam` trains the variable, unless `sparse` is False.
        """
        return keras.ops.take(variable, ids, axis=0)

    def check_range(self, ids: Tensor, rows: int, layer: str) -> Tensor:
        """`ids`, after a check that raises if one of them is not in `0 … rows - 1`, also inside compiled functions."""
        self._refuse(int(ids.min()), int(ids.max()), rows, layer)
        return ids

    def _refuse(self, low: int, high: int, rows: int, layer: str) -> None:
        if low < 0 or high >= rows:
            raise ValueError(_OUTSIDE.format(rows - 1, layer, low, high))

    # -- pooling

    def largest(self, x: Tensor) -> Tensor:
        """The largest numbers over axis 1; −inf where that has no length, of which Keras' own maximum makes an error."""
        return keras.ops.amax(x, axis=1) if x.shape[1] != 0 else keras.ops.sum(x, axis=1) - float("inf")

    # -- sparse gradients

    def is_sparse(self, gradient: Gradient) -> bool:
        """Whether the gradient holds only rows of its variable."""
        return False

    def split(self, gradient: Gradient) -> tuple[Tensor, Tensor]:
        """(which rows, their values), each row once; (None, the gradient) where it is dense."""
        return None, gradient

    def joined(self, gradient: Gradient, rows: Tensor, values: Tensor) -> Gradient:
        """`gradient` with these values in place of those that `split` gave."""
        return values

    def update_rows(self, gradient: Gradient, variable: Variable, m: Variable, v: Variable, adam: Adam) -> bool:
        """Train only those rows of a table that the gradient is about. False, and nothing done, where it cannot be.

        Args:
            m, v: the variables of the moments.
            adam: rows of (gradient, m, v) → (new m, new v, what is to be taken from the rows of the variable).
        """
        return False

    def scope_of(self, model: Any) -> contextlib.AbstractContextManager[Any]:
        """Where new variables of a compiled model are made."""
        return contextlib.nullcontext()


class _TensorFlow(Backend):
    xla_drops_assertions = True

    def writes_rows(self, variable):
        # In place: TensorFlow's own assignment needs two more tables.
        import tensorflow as tf

        return not (tf.distribute.has_strategy() or isinstance(variable.value, tf.distribute.DistributedValues))

    def write_rows(self, variable, start, block):
        import tensorflow as tf

        rows = tf.range(start, start + len(block))
        variable.value.scatter_update(tf.IndexedSlices(tf.cast(block, variable.dtype), rows))
        self._end_copy_on_read(variable.value)

    def _end_copy_on_read(self, *variables):
        """Let reads of these variables share the table again, after rows were written into it in place.

        A write of single rows (and a gather from the variable itself) makes TensorFlow copy the whole table in every later
        read: a training step with a frozen table of 200,000 × 300 took 203 ms instead of 2.4. The switch stays on until
        it is turned off. Inside a function that XLA compiles there is neither the switch nor the operation that turns it off.
        """
        import tensorflow as tf
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

        if not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
            return
        for variable in variables:
            tf.raw_ops.DisableCopyOnRead(resource=variable.handle)

    def check_range(self, ids, rows, layer):
        import tensorflow as tf

        low, high = tf.reduce_min(ids), tf.reduce_max(ids)
        if tf.executing_eagerly():
            self._refuse(int(low), int(high), rows, layer)
            return ids
        told = [_OUTSIDE.format(rows - 1, layer, "", "")]
        with tf.control_dependencies([tf.debugging.Assert((low >= 0) & (high < rows), [*told, low, high])]):
            return tf.identity(ids)

    def largest(self, x):
        import tensorflow as tf

        return tf.reduce_max(x, axis=1)  # in a graph the length may not be known

    def is_sparse(self, gradient):
        import tensorflow as tf

        return isinstance(gradient, tf.IndexedSlices)

    def split(self, gradient):
        import tensorflow as tf

        if not self.is_sparse(gradient):
            return None, gradient
        rows, place = tf.unique(gradient.indices)
        return rows, tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))

    def joined(self, gradient, rows, values):
        import tensorflow as tf

        return values if rows is None else tf.IndexedSlices(values, rows, gradient.dense_shape)

    def update_rows(self, gradient, variable, m, v, adam):
        import tensorflow as tf

        if not self.is_sparse(gradient):
            return False
        m, v = m.value, v.value
        rows, g = gradient.indices, tf.cast(gradient.values, variable.dtype)
        m_rows, v_rows, change = adam(g, tf.gather(m, rows), tf.gather(v, rows))
        m.scatter_update(tf.IndexedSlices(m_rows, rows))
        v.scatter_update(tf.IndexedSlices(v_rows, rows))
        variable.scatter_sub(tf.IndexedSlices(change, rows))
        self._end_copy_on_read(m, v, variable)
        return True

    def scope_of(self, model):
        return model.distribute_strategy.scope()


class _Jax(Backend):
    def built_full(self):
        # For a distributed layout Keras would compile the initializer with the whole table in it; an assignment places
        # each shard.
        return keras.distribution.distribution() is None

    def split_over(self, variable=None):
        if variable is None:
            return keras.distribution.distribution()
        layout = getattr(variable, "_layout", None)
        return getattr(layout, "backend_layout", layout)

    def fill_split(self, variable, part, check=None):
        import jax

        shape, dtype = tuple(variable.shape), jax.numpy.zeros((), variable.dtype).dtype
        split = self.split_over(variable)
        if check:
            for begin, end, _ in {
                i[0].indices(shape[0]) for i in split.addressable_devices_indices_map(shape).values()
            }:
                check(begin, end)

        def share(index):
            begin, end, _ = index[0].indices(shape[0])
            return np.ascontiguousarray(part(begin, end)[:, index[1]], dtype)

        variable._value.delete()  # the zeros, before there is something else
        variable._value = jax.make_array_from_callback(shape, split, share)

    def is_first(self):
        import jax

        return jax.process_index() == 0

    def agreed(self, value):
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.broadcast_one_to_all(value))

    def wait_for_all(self, name):
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)

    def own_copy(self, table, dtype):
        import jax

        # JAX on a CPU keeps the memory of an array that is aligned to 64 bytes as its own, and copies any other. So it is
        # given an aligned copy: the source's own memory would let later changes in, and jnp.array() would copy twice.
        dtype = jax.numpy.zeros((), dtype).dtype
        if is_mapped(table) and table.dtype == dtype and table.flags.c_contiguous and not table.ctypes.data % 64:
            return jax.device_put(table)  # nobody writes into such memory: it is read where it lies
        size = math.prod(table.shape) * dtype.itemsize
        memory = np.empty(size + 64, np.uint8)
        start = -memory.ctypes.data % 64
        own = memory[start : start + size].view(dtype).reshape(table.shape)
        for some in blocks_of(*table.shape):
            own[some] = table[some]
        return jax.device_put(own)

    def check_range(self, ids, rows, layer):
        import jax

        check = functools.partial(super().check_range, rows=rows, layer=layer)
        if not isinstance(ids, jax.core.Tracer):
            return check(ids)
        # Only a call back to Python can raise out of compiled code, and one whose result is used is never left out.
        return jax.pure_callback(check, jax.ShapeDtypeStruct(ids.shape, ids.dtype), ids)

    def update_rows(self, gradient, variable, m, v, adam):
        """The gradient is dense, but it is read once, and the table and its moments only where it is not zero."""
        import jax
        from jax import numpy as jnp

        if keras.distribution.distribution() is not None:
            return False
        # The largest value and not any(): that one writes a table of bools first.
        seen = jnp.max(jnp.abs(gradient), axis=-1) != 0
        blocks = -(-len(seen) // _UPDATED_TOGETHER)
        # Behind the rows that were seen stands a number that is no row: it reads zeros, and is never written.
        rows = jnp.nonzero(seen, size=blocks * _UPDATED_TOGETHER, fill_value=len(seen))[0]

        def update(block, values):
            w, m, v = values
            at = jax.lax.dynamic_slice_in_dim(rows, block * _UPDATED_TOGETHER, _UPDATED_TOGETHER)
            g, m_rows, v_rows = (x.at[at].get(mode="fill", fill_value=0) for x in (gradient, m, v))
            m_rows, v_rows, change = adam(g, m_rows, v_rows)
            return (
                w.at[at].add(-change, mode="drop"),
                m.at[at].set(m_rows, mode="drop"),
                v.at[at].set(v_rows, mode="drop"),
            )

        used = -(-jnp.count_nonzero(seen) // _UPDATED_TOGETHER)
        values = jax.lax.fori_loop(0, used, update, (variable.value, m.value, v.value))
        for each, value in zip((variable, m, v), values):
            each.assign(value)
        return True


class _Torch(Backend):
    def writes_rows(self, variable):
        return True

    def write_rows(self, variable, start, block):
        import torch

        with torch.no_grad():
            variable.value[start : start + len(block)] = torch.from_numpy(block).to(variable.value)

    def take_rows(self, variable, ids, sparse=True):
        import torch

        if sparse and getattr(variable, "row_sparse_for", lambda: None)() is not None:
            return torch.nn.functional.embedding(ids, variable.value, sparse=True)
        return super().take_rows(variable, ids)

    def check_range(self, ids, rows, layer):
        return ids if ids.device.type == "meta" else super().check_range(ids, rows, layer)

    def is_sparse(self, gradient):
        return gradient.is_sparse

    def split(self, gradient):
        if not gradient.is_sparse:
            return None, gradient
        gradient = gradient.coalesce()
        return gradient.indices(), gradient.values()

    def joined(self, gradient, rows, values):
        import torch

        if rows is None:
            return values
        return torch.sparse_coo_tensor(rows, values, gradient.shape, check_invariants=False, is_coalesced=True)

    def update_rows(self, gradient, variable, m, v, adam):
        if not gradient.is_sparse:
            return False
        m, v = m.value, v.value
        rows, g = gradient.indices()[0], gradient.values()
        m[rows], v[rows], change = adam(g, m[rows], v[rows])
        variable.value.index_add_(0, rows, change, alpha=-1)
        return True


backend: Backend = {"tensorflow": _TensorFlow, "jax": _Jax, "torch": _Torch}.get(keras.backend.backend(), Backend)()
