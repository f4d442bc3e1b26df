#!/bin/bash
# NumPy 2.4.6 (OpenBLAS 0.3.31, its kernels for AVX-512), one thread: the product of a query's few vectors with a
# page's many, `query @ page.T`,
# takes more than twice the time of `(page @ query.T).T`, which gives the same bits; the gap closes at some forty vectors.
# MaxSim written the first way in NumPy pays it at every page (torch's own kernels do not).
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "numpy==2.4.6" "threadpoolctl==3.6.0"
cat > "$place/run.py" <<'END'
import sys, time
import numpy as np
from threadpoolctl import threadpool_info

def cpu_us(work):
    work()
    taken = []
    for _ in range(7):
        started = time.process_time()
        for _ in range(60):
            work()
        taken.append((time.process_time() - started) / 60 * 1e6)
    return min(taken)

print(f"numpy {np.__version__}, openblas {threadpool_info()[0]['version']}, {threadpool_info()[0]['architecture']}")
draw = np.random.default_rng(0).standard_normal
page, ratios, same = draw((4096, 128)).astype(np.float32), {}, True
for vectors in (2, 4, 10, 40):
    query = draw((vectors, 128)).astype(np.float32)
    same &= np.array_equal(query @ page.T, (page @ query.T).T)
    first, second = cpu_us(lambda: query @ page.T), cpu_us(lambda: (page @ query.T).T)
    ratios[vectors] = first / second
    print(f"{vectors} vectors: {first:.0f} us, the other way round {second:.0f} us, {ratios[vectors]:.1f} times")
if not same or ratios[4] < 1.5 or ratios[40] > 1.5:
    sys.exit("the behaviour has changed")
END
OPENBLAS_NUM_THREADS=1 "$place/venv/bin/python" "$place/run.py"
