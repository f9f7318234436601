"""Weight-only int8: weights are stored as int8 with one scale a channel and computed in float32."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

SMALLEST_PACKED = 4096  # Below this many numbers int8 saves nothing worth its rounding error.
STEPS = 127


def on_grid(weight: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """Return a weight rounded to its int8 grid, so that training sees what is shipped."""
    if weight.numel() < SMALLEST_PACKED:
        return weight
    others = [dim for dim in range(weight.ndim) if dim != axis]
    scale = weight.abs().amax(dim=others, keepdim=True).clamp(min=1e-8) / STEPS
    return (weight / scale).round() * scale


def channel_axis(model: onnx.ModelProto, name: str, array: np.ndarray) -> int:
    """Return the axis whose entries get a scale of their own: output channels, or table rows."""
    for node in model.graph.node:
        if name in node.input:
            if node.op_type == "MatMul" or (
                node.op_type == "Gemm"
                and not any(a.name == "transB" and a.i for a in node.attribute)
            ):
                return array.ndim - 1
            return 0
    return 0


def pack(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every large float weight as int8, followed by Cast and Mul.

    ONNX Runtime folds Cast and Mul of constants when it loads the model, so that the sums run in
    plain float32 and do not depend on what else is in the batch; it does not fold
    DequantizeLinear, and dynamic int8 would round activations batch by batch.
    """
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    graph = packed.graph
    initializers, nodes = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < SMALLEST_PACKED or array.ndim < 2:
            initializers.append(tensor)
            continue
        axis = channel_axis(model, tensor.name, array)
        others = tuple(dim for dim in range(array.ndim) if dim != axis)
        largest = np.abs(array).max(axis=others, keepdims=True)
        scale = (np.maximum(largest, 1e-8) / STEPS).astype(np.float32)
        steps = np.rint(array / scale).astype(np.int8)
        name = tensor.name
        initializers.append(numpy_helper.from_array(steps, f"{name}.int8"))
        initializers.append(numpy_helper.from_array(scale, f"{name}.scale"))
        nodes.append(
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.steps"], to=TensorProto.FLOAT)
        )
        nodes.append(helper.make_node("Mul", [f"{name}.steps", f"{name}.scale"], [name]))
    nodes.extend(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)
    onnx.checker.check_model(packed, full_check=True)
    return packed
