"""An encoder that ONNX Runtime computes: a graph of its embeddings, one of what layers share, and one of a layer.

The graph of a layer is written once and has a session for each layer, with its weights; so layers above the one that is asked
for are never computed, and no state is kept that nobody asked for. A session holds its weights in the form that its products
need; ours are let go one by one as they get theirs, so that no more than a layer is there twice. Nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..threads import cores
from .onnx_graph import name_of_weight
from .onnx_ops import written

if TYPE_CHECKING:
    import numpy.typing as npt

    from .families import EncoderConfig, Family
    from .onnx_graph import Written

    Arrays = dict[str, npt.NDArray[np.float32]]

_IDS = ("int32", ("B", "T"))


class OnnxModel:
    """Configuration, and sessions that hold the weights. It has the face of `families.models.Model`.

    Args:
        family, config: of the encoder.
        embedding: dict of arrays; it is emptied.
        layers: dicts of arrays, one a layer, some of them maybe the same; they are emptied.

    Raises:
        ImportError: onnxruntime or onnx is not installed.
        ValueError: the family computes something for which no graph is written.
    """

    weight: None = None

    def __init__(self, family: Family, config: EncoderConfig, embedding: Arrays, layers: Sequence[Arrays]) -> None:
        self._runtime = _runtime()
        self._memory = family.has_memory
        memory: dict[str, Any] = {"memory": ("int64", ())} if self._memory else {}

        def context(_: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
            made = family.context(config, given["mask"], given["types"], given.get("memory", 0))
            return {name: value.writer.cast(value, "float32") for name, value in made.items()}

        def embed(w: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"x": family.embed(config, w, given["ids"], given["types"])}

        def layer(w: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"y": family.layer(config, w, given["x"], given)}

        what, shared = family.title, {role: embedding[role] for role in family.shared}
        graph = written(what, context, {"mask": _IDS, "types": _IDS, **memory}, {})
        self._context = self._session(graph, {})
        given: dict[str, Any] = {"x": ("float32", ("B", "T", config.hidden_size)), **graph.outputs}
        if self._memory:
            given["mems"] = ("float32", ("B", "M", config.hidden_size))
        graph = written(what, layer, given, {role: array.shape for role, array in {**layers[0], **shared}.items()})
        order, made = [id(each) for each in layers], {}
        for each in layers:
            if id(each) not in made:
                made[id(each)] = self._session(graph, {**each, **shared})
                each.clear()
        self._layers = [made[key] for key in order]
        of_embedding = {role: array.shape for role, array in embedding.items()}
        self._embed = self._session(written(what, embed, {"ids": _IDS, "types": _IDS}, of_embedding), embedding)
        embedding.clear()

    def _session(self, graph: Written, weights: Mapping[str, npt.NDArray[Any]]) -> Any:
        """What computes a graph, as a function of a dict; it copies the weights."""
        runtime = self._runtime
        options = runtime.SessionOptions()
        # Two batches are computed at a time: each by its own thread, and by those that both share.
        options.intra_op_num_threads = max(1, cores() - 1)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # another session's turn comes next
        options.enable_cpu_mem_arena = False  # which would keep, for each session, the most that it ever needed
        options.log_severity_level = 3
        arrays = [np.ascontiguousarray(weights[role]) for role in graph.weights]
        values = [runtime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        options.add_external_initializers([name_of_weight(role) for role in graph.weights], values)
        session = runtime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
        inputs, outputs = ([each.name for each in some] for some in (session.get_inputs(), session.get_outputs()))

        def compute(given: Mapping[str, Any]) -> dict[str, Any]:
            made = session.run_with_ort_values(outputs, {name: given[name] for name in inputs})
            return dict(zip(outputs, made))

        return compute

    def states(
        self,
        input_ids: npt.NDArray[np.int32],
        attention_mask: npt.NDArray[np.int32],
        token_type_ids: npt.NDArray[np.int32],
        mems: npt.NDArray[np.float32] | None = None,
        *,
        wanted: Collection[int] | None = None,
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """As of `families.models.Model`."""
        last = len(self._layers) if wanted is None else max(wanted)
        value = self._runtime.OrtValue.ortvalue_from_numpy
        ids, mask, types = (
            value(np.ascontiguousarray(array, np.int32)) for array in (input_ids, attention_mask, token_type_ids)
        )
        inputs = {"mask": mask, "types": types}
        if self._memory:
            inputs["memory"] = value(np.array(0 if mems is None else mems.shape[2], np.int64))
        context = self._context(inputs)
        x = self._embed({"ids": ids, "types": types})["x"]
        if wanted is None or 0 in wanted:
            yield 0, x.numpy()
        for number, layer in enumerate(self._layers[:last], 1):
            if self._memory:
                seen = np.zeros((len(input_ids), 0, x.shape()[2]), np.float32) if mems is None else mems[number - 1]
                context["mems"] = value(np.ascontiguousarray(seen))
            x = layer({"x": x, **context})["y"]
            if wanted is None or number in wanted:
                yield number, x.numpy()


def _runtime() -> Any:
    """The module onnxruntime."""
    try:
        import onnx  # noqa: F401 (it writes the graphs)
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f'engine="onnx" needs onnxruntime and onnx, and importing them failed: {error}. Install them: '
            "pip install 'w2v-embed[onnx]'; or load the encoder with engine=\"keras\"."
        ) from error
    return onnxruntime
