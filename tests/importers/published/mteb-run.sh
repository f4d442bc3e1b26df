#SBATCH --gres=gpu:1
mteb run -m vidore/colqwen2.5-v0.2 -b "ViDoRe(v2)" --batch-size 4 --output-folder out --overwrite-strategy only-missing --eval-splits test
