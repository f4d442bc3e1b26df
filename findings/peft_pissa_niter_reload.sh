#!/bin/bash
# peft: an adapter trained with init_lora_weights="pissa_niter_4" (the fast start that its guide advises) is not what comes
# back from save_pretrained and from_pretrained on the same base: the start's decomposition draws at random and is made anew
# when the adapter is loaded. The difference is many times what training changed, and nothing warns; "pissa" comes back exactly.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "peft==0.21.2" "transformers==5.23.0" "accelerate==1.15.0" "torch==2.13.0" "numpy==2.3.5"
"$place/venv/bin/python" - "$place" <<'END'
import copy
import sys

import peft
import torch
from torch import nn

print("peft", peft.__version__, "torch", torch.__version__)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64, bias=False)

    def forward(self, x):
        return self.linear(x)


torch.manual_seed(0)
base, inputs = Base(), torch.randn(5, 64)
ratios = {}
for init in ("pissa", "pissa_niter_4"):
    config = peft.LoraConfig(r=4, target_modules=["linear"], init_lora_weights=init)
    model = peft.get_peft_model(copy.deepcopy(base), config)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 1e-2)
    for _ in range(5):
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = f"{sys.argv[1]}/{init}"
    model.save_pretrained(folder)
    again = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
    with torch.no_grad():
        trained, loaded, untrained = model(inputs), again(inputs), base(inputs)
    learned, lost = (float((trained - other).abs().max()) for other in (untrained, loaded))
    ratios[init] = lost / learned
    print(f"{init}: training moved the outputs by {learned:.3f}, loading it again by {lost:.3f}")
if ratios["pissa"] >= 1e-3 or ratios["pissa_niter_4"] <= 1:
    sys.exit("the behaviour has changed")
END
