#!/bin/bash
# peft matches alpha_pattern (and rank_pattern) by the first key that fits a layer, in the order they were given, but
# save_pretrained sorts the keys of adapter_config.json. An adapter whose general key came first is reloaded with another
# scale, without a word; with rank_pattern the reload fails.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install peft==0.21.2 torch==2.13.0 transformers==5.23.0 safetensors
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
"$work/venv/bin/python" -W ignore - "$work/adapter" <<'PY'
import copy, json, sys
import peft, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.ModuleDict({"q_proj": nn.Linear(8, 8)})
        self.second = nn.ModuleDict({"q_proj": nn.Linear(8, 8)})

    def forward(self, x):
        return self.second["q_proj"](self.first["q_proj"](x))

folder = sys.argv[1]
torch.manual_seed(0)
base = Net()
given = {"q_proj": 2, r"first\.q_proj": 16}
config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], alpha_pattern=given, init_lora_weights=False)
trained = peft.get_peft_model(copy.deepcopy(base), config)
trained.save_pretrained(folder)
saved = json.load(open(f"{folder}/adapter_config.json"))["alpha_pattern"]
again = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
scale = [model.base_model.model.first["q_proj"].scaling["default"] for model in (trained, again)]
x = torch.randn(3, 8)
difference = (trained(x) - again(x)).abs().max().item()
print("peft", peft.__version__, "| given", list(given), "| saved", list(saved))
print("scale of first.q_proj: trained with", scale[0], "| reloaded with", scale[1], "| outputs differ by", difference)
sys.exit(0 if list(saved) != list(given) and scale == [0.5, 4.0] and difference > 0.1 else 1)
PY
