#!/bin/bash
BS=96
NAME=night
sbatch <<EOT
#!/bin/bash
#SBATCH --job-name=$NAME
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
srun python -m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 \
   --batch-size $BS --epochs 6 --lr 4e-4 --warmup 300 --model ViT-B-32 --name $NAME
EOT
