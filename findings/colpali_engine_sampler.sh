#!/bin/bash
# colpali-engine 0.3.18, SingleDatasetBatchSampler: a data set smaller than a batch is never seen, drop_last=False changes
# nothing, and without a call of set_epoch every epoch repeats the first one's queries batch by batch within a data set;
# accelerate's BatchSamplerShard, which wraps it on several processes, has no set_epoch to pass on.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.3.5" "accelerate==1.15.0"
"$place/venv/bin/pip" install -q --no-deps --target "$place/engine" "colpali-engine==0.3.18"
cat > "$place/run.py" <<'END'
import importlib.metadata, importlib.util, sys
import torch
from accelerate.data_loader import BatchSamplerShard

# the module alone: the package's own start imports every model
spec = importlib.util.spec_from_file_location("sampler", f"{sys.argv[1]}/colpali_engine/data/sampler.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

large, small, batch = range(100), range(20), 32
orders = {}
for drop_last in (True, False):
    seed = torch.Generator().manual_seed(0)
    sampler = module.SingleDatasetBatchSampler([large, small], batch, drop_last=drop_last, generator=seed)
    epochs = [[tuple(rows) for rows in sampler] for _ in range(3)]
    seen = {row for rows in epochs[0] for row in rows}
    of_small = sum(row >= len(large) for row in seen)
    print(f"drop_last={drop_last}: {len(seen)} of 120 rows seen, {of_small} of the small set's 20")
    orders[drop_last] = (len(seen), of_small, epochs[0] == epochs[1] == epochs[2])
    print(f"drop_last={drop_last}: three epochs give the same batches: {orders[drop_last][2]}")
shard = hasattr(BatchSamplerShard, "set_epoch")
print(f"accelerate {importlib.metadata.version('accelerate')}: BatchSamplerShard has set_epoch: {shard}")
if orders != {True: (96, 0, True), False: (96, 0, True)} or shard:
    sys.exit("the behaviour has changed")
END
echo "colpali-engine 0.3.18, torch 2.13.0, accelerate 1.15.0"
"$place/venv/bin/python" "$place/run.py" "$place/engine"
