#!/usr/bin/env bash
# A command that misses its published number: why, what to change, and the recipe that repairs it. Nothing is fetched.
#
#   bash examples/import_failing_command.sh [SCRIPT]      # your own script, config or command in place of this one
set -euo pipefail
out=${OUT:-runs/imported}
mkdir -p "$out"
command=${1:-$out/train.sh}

# a CLIP on CC3M on eight GPUs, with the settings that most people take over from another command
[ $# -gt 0 ] || cat > "$command" <<'SCRIPT'
torchrun --nproc_per_node 8 -m open_clip_train.main \
  --train-data cc3m.csv --dataset-type csv --model RN50 --batch-size 128 --lr 5e-4 --wd 0.1 --epochs 30 \
  --warmup 10000 --precision amp --workers 4
SCRIPT

collotype check "$command"                                  # what will differ from the published run, and why
collotype import "$command" -o "$out/recipe.yaml"           # the same run as a recipe, every argument accounted for
collotype check "$out/recipe.yaml" --set train.optimizer.beta2=0.99    # with one of the changes it proposes
