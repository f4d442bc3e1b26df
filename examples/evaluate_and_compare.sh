#!/usr/bin/env bash
# Late interaction against a single vector: train both, evaluate them on a suite, and lay the two runs side by side.
#
#   bash examples/evaluate_and_compare.sh                 # 20 steps each: a path to see, no result to quote
#   STEPS=1100 bash examples/evaluate_and_compare.sh      # the real comparison, three minutes on two cores
set -euo pipefail
out=${OUT:-runs/compare} steps=${STEPS:-20}

for recipe in desk-colpali desk-bipali; do
  collotype run "$recipe" --out "$out/$recipe" --overwrite \
    --set "train.steps=$steps" --set "evaluate=[{suite: sheets}]" --set "expect=[]"
done

# results side by side, and what differs between the runs, the most likely cause of a difference first
collotype compare "$out/desk-colpali" "$out/desk-bipali"

# any model on any suite, without a run: the numbers as JSON files, with their circumstances
collotype evaluate "$out/desk-colpali/model" --suite sheets --out "$out/results"
