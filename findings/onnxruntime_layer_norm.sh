#!/bin/bash
# onnxruntime 1.31.1 on a CPU: at its default level of optimisation Add followed by LayerNormalization, as every
# transformer has them, becomes SkipLayerNormalization, which computes the same in several times as long as the two
# operators it replaces. ORT_ENABLE_BASIC leaves them as they are.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "onnxruntime==1.31.1" "onnx==1.23.2" "numpy==2.4.6"
cat > "$place/run.py" <<'END'
import sys, time
import numpy as np, onnx, onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(3)

ROWS, WIDTH = 160, 384
numbers = np.random.default_rng(0).standard_normal((2, 1, ROWS, WIDTH)).astype(np.float32)
weight = numpy_helper.from_array(np.ones(WIDTH, np.float32), "w")
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, ROWS, WIDTH]) for name in "xyo"]
nodes = [helper.make_node("Add", ["x", "y"], ["s"]), helper.make_node("LayerNormalization", ["s", "w", "w"], ["o"])]
graph = helper.make_graph(nodes, "g", values[:2], values[2:], [weight])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
found = {}
for name in ("ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, name)
    options.optimized_model_filepath = f"{sys.argv[1]}/{name}.onnx"
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    feed, times = {"x": numbers[0], "y": numbers[1]}, []
    for _ in range(300):
        started = time.process_time()
        answer = session.run(None, feed)[0]
        times.append(1e6 * (time.process_time() - started))
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    found[name] = kinds, min(times), answer
    print(f"{name}: {' and '.join(kinds)}, {min(times):.0f} us of CPU for [{ROWS}, {WIDTH}]")
(two, fast, before), (one, slow, after) = found.values()
print(f"onnxruntime {ort.__version__}: {slow / fast:.1f} times as long, largest difference {np.abs(before - after).max():.1e}")
if one != ["SkipLayerNormalization"] or slow < 2 * fast:
    sys.exit("the behaviour has changed")
END
"$place/venv/bin/python" "$place/run.py" "$place"
