#!/bin/bash
# transformers, ColPaliProcessor.score_retrieval (and colpali-engine's score_multi_vector, which is written alike): pages of a
# batch are padded with zero vectors, which take part in the maximum. A page's score then depends on which pages stand beside
# it: a query vector that no vector of a short page resembles counts negative when the page is alone and 0 beside a longer one.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.3.5" "transformers==5.23.0" "pillow==12.1.0"
"$place/venv/bin/python" - <<'END'
import sys

import torch
import transformers
from torch.nn.functional import normalize
from transformers.models.colpali.processing_colpali import ColPaliProcessor

print("transformers", transformers.__version__, "torch", torch.__version__)
torch.manual_seed(0)
query, short, long = (normalize(torch.randn(tokens, 128), dim=-1) for tokens in (10, 2, 40))
# score_retrieval uses nothing of the processor
alone = ColPaliProcessor.score_retrieval(None, [query], [short])[0, 0].item()
beside = ColPaliProcessor.score_retrieval(None, [query], [short, long])[0, 0].item()
maxsim = (query @ short.T).amax(1).sum().item()
print(f"the short page by itself {alone:.4f}, beside a longer page {beside:.4f}; MaxSim of its own vectors {maxsim:.4f}")
if abs(alone - maxsim) >= 1e-5 or beside - alone <= 0.05:
    sys.exit("the behaviour has changed")
END
