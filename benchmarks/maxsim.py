"""Late-interaction InfoNCE, forward and backward, against the same formula by one einsum over all pairs.

B = 64 queries of 20 vectors and 64 pages of 1,031 vectors, 128 dimensions, float32 on the CPU. Time and the largest
resident memory are measured in a process for each, alternately; memory is beyond what the process held before.
Then ours alone at B = 256, where one einsum's similarities would take 5 GiB.
"""

import json
import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 3
QUERY_VECTORS, PAGE_VECTORS, DIM = 20, 1031, 128


def measure(how: str, batch: int = 64) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, how, str(batch)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def child(how: str, batch: int) -> None:
    import torch

    from collotype.losses.maxsim import maxsim
    from collotype.losses.registry import make_loss

    torch.manual_seed(0)
    queries = torch.randn(batch, QUERY_VECTORS, DIM).requires_grad_()
    pages = torch.randn(batch, PAGE_VECTORS, DIM).requires_grad_()

    def einsum(q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bnd,csd->bcns", q, p).amax(dim=3).sum(dim=2)

    score = {"ours": maxsim, "einsum": einsum}[how]
    infonce = make_loss("infonce", temperature=1.0).in_batch
    infonce(score(queries[:1, :2], pages[:1, :2])).backward()
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    infonce(score(queries, pages)).backward()
    seconds = time.perf_counter() - started
    print(json.dumps({"s": seconds, "MiB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], int(sys.argv[2]))
    else:
        rounds = [(measure("ours"), measure("einsum")) for _ in range(ROUNDS)]
        names = {"s": "time", "MiB": "extra memory"}
        rows = [
            {
                "what": f"MaxSim loss, forward and backward, B = 64, 20 × 1,031 × 128: {name}",
                "ours": statistics.median(ours[unit] for ours, _ in rounds),
                "reference": statistics.median(plain[unit] for _, plain in rounds),
                "against": "one einsum",
                "unit": unit,
            }
            for unit, name in names.items()
        ]
        large = {"what": "the same at B = 256: extra memory", "ours": measure("ours", 256)["MiB"], "unit": "MiB"}
        print(json.dumps([*rows, large | {"reference": 2048, "against": "allowed"}]))
