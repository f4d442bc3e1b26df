sbatch --nodes=1 --cpus-per-task=16 --time=20:00:00 --gres=gpu:8 -p a100 --output=o --wrap="python scripts/train/train_colbert.py colpali-ratio.yaml"
