#!/bin/bash
# pytrec_eval (as mteb, BEIR and ranx's users call it) keeps scores as 32-bit floats and orders equal ones by the
# document's name, descending: two float64 scores that differ in the ninth digit, and all equal scores (bf16 has many), are
# ranked by name, so renaming the documents changes nDCG.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "pytrec_eval-terrier==0.5.11" "numpy==2.3.5"
"$place/venv/bin/python" - <<'END'
import sys
from importlib.metadata import version

import pytrec_eval

print("pytrec_eval-terrier", version("pytrec_eval-terrier"))


def ndcg(right, wrong, better):
    judged = pytrec_eval.RelevanceEvaluator({"q": {right: 1}}, {"ndcg_cut.5"})
    return round(judged.evaluate({"q": {right: 20.0 + better, wrong: 20.0}})["q"]["ndcg_cut_5"], 3)


found = {}
for better in (1e-3, 1e-7, 0.0):
    found[better] = ndcg("page-1", "page-2", better), ndcg("page-2", "page-1", better)
    print(f"the right page scores {better:g} more: nDCG@5 {found[better][0]} as page-1, {found[better][1]} as page-2")
if found != {1e-3: (1.0, 1.0), 1e-7: (0.631, 1.0), 0.0: (0.631, 1.0)}:
    sys.exit("the behaviour has changed")
END
