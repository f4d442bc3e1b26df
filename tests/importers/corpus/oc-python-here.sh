python - <<EOF
import subprocess
subprocess.run("torchrun --nproc_per_node 4 -m open_clip_train.main --model RN50", shell=True)
EOF
