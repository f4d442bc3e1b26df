"""Launchers, scripts and words: read as a shell would, and never run."""

import pytest

from collotype.importers import import_foreign
from collotype.runtime.errors import UserError
from tests.importers.fuzz import HERE

CASES, PUBLISHED = HERE / "cases", HERE / "published"


@pytest.mark.parametrize(
    ("start", "launcher", "processes"),
    [
        ("python", "python", 1),
        ("CUDA_VISIBLE_DEVICES=0,1 python3 -u", "python", 1),
        ("nohup torchrun --standalone --nproc-per-node=4", "torchrun", 4),
        ("torchrun --nnodes 2 --nproc_per_node 4 --rdzv_endpoint=h:1", "torchrun", 8),
        ("CUDA_VISIBLE_DEVICES=0,1,2 torchrun --nproc_per_node gpu", "torchrun", 3),
        ("python -m torch.distributed.launch --nproc_per_node=8 --use-env", "torch.distributed.launch", 8),
        ("python -m torch.distributed.run --nproc_per_node=2", "torchrun", 2),
        ("accelerate launch --multi_gpu --num_machines 2 --num_processes 16", "accelerate", 16),
        ("accelerate launch --config_file c.yaml", "accelerate", 1),
        ("deepspeed --num_gpus 4", "deepspeed", 4),
        ("srun -n8 python", "srun", 8),
        ("srun --nodes=2 --ntasks-per-node=4 --exclusive python", "srun", 8),
        ("srun -N 2 torchrun --nnodes 2 --nproc_per_node 8", "torchrun", 16),
        ("mpirun -np 4 -x PATH python", "mpirun", 4),
    ],
)
def test_launchers(start: str, launcher: str, processes: int) -> None:
    program = (
        "run_beit3_finetuning.py --task vqav2 --model beit3_base_patch16_480 --data_path d --sentencepiece_model b"
    )
    imported = import_foreign(f"{start} {program}")
    assert (imported.origin.launcher, imported.origin.processes) == (launcher, processes)
    assert imported.values["train"]["batch"] == 64 * processes


def test_plain_python_divides_a_batch_among_the_gpus_it_sees() -> None:
    """That is how the published retrievers were trained; under torchrun, the same config had an eighth of the
    negatives."""
    config = CASES / "bipali.yaml"
    alone = import_foreign(f"CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7 python scripts/train/train_colbert.py {config}")
    assert (alone.values["train"]["batch"], alone.origin.processes, alone.origin.settings["devices"]) == (32, 1, 8)
    assert (alone.origin.settings["negatives_scope"], alone.origin.settings["negatives_per_query"]) == ("global", 31)
    assert import_foreign(config, processes=8).values == alone.values
    assert "processes" in {one.name for one in import_foreign(config).left_out}


def test_scripts_are_read_as_a_shell_would() -> None:
    text = """#!/bin/bash
        module load cuda; source env.sh && mkdir -p out
        export GPUS=4 NAME="my run"
        BATCH=${BATCH:-32}  # per GPU
        if true; then
          torchrun --nproc_per_node=$GPUS -m open_clip_train.main --train-data 'a-{0..9}.tar'::"b-{0..4}.tar" \\
            --batch-size ${BATCH} --name "$NAME $UNSET" --lr=1e-3 2>&1 | tee $NAME.log &
        fi
    """
    imported = import_foreign(text)
    assert imported.values["train"]["batch"] == 128
    assert imported.values["data"]["train"]["path"] == "a-{0..9}.tar::b-{0..4}.tar"
    assert imported.origin.settings["shards"] == 15
    assert imported.values["name"] == "my-run--UNSET"


OPEN_CLIP = (
    "-m open_clip_train.main --train-data '/d/{000..099}.tar' --train-num-samples 2000000 --model RN50 --batch-size 64"
)


@pytest.mark.parametrize(
    ("text", "launcher", "processes", "said"),
    [
        ("#SBATCH -N 8\n#SBATCH --ntasks-per-node=4\nsrun --cpu_bind=v python", "srun", 32, ""),
        ("#SBATCH --nodes=2 --ntasks=16\nsrun python", "srun", 16, ""),
        ("#SBATCH --ntasks=16\n##SBATCH --ntasks=99\nsrun -n 4 python", "srun", 4, ""),
        ("#SBATCH -N 2\necho\n#SBATCH --ntasks=99\nsrun python", "srun", 2, ""),
        ("#SBATCH --gpus=8\n#SBATCH --ntasks-per-gpu=1\nsrun python", "srun", 8, ""),
        ("#SBATCH -N 2\n#SBATCH --tasks-per-node=8\nsrun -n $SLURM_NTASKS python", "srun", 16, ""),
        ("#SBATCH -N 2\n#SBATCH --ntasks-per-node=4\nmpirun python", "mpirun", 8, ""),
        ("#SBATCH --nodes=4\nsrun torchrun --nnodes=$SLURM_NNODES --nproc_per_node=8", "torchrun", 32, ""),
        ("#SBATCH --nodes=3\nN=$(scontrol show hostnames $L | wc -l)\ntorchrun --nnodes $N", "torchrun", 3, ""),
        ("#SBATCH --nodes=4\naccelerate launch --num_processes $((SLURM_NNODES * 8))", "accelerate", 32, ""),
        ("#SBATCH --gres=gpu:a100:4\naccelerate launch", "accelerate", 4, "one for each of 4 GPUs is assumed"),
        ("#SBATCH --ntasks=8\npython", "python", 1, "the job has 8 tasks, but without srun only one of them starts"),
        ("srun python", "srun", 1, "srun's number of tasks is not in the text; 1 process is assumed"),
        ("mpirun python", "mpirun", 1, "mpirun's number of processes is not in the text; 1 process is assumed"),
        ("deepspeed", "deepspeed", 1, "deepspeed's number of processes is not in the text; 1 process is"),
        ("accelerate launch --config_file c.yaml", "accelerate", 1, "accelerate's number of processes is not"),
        ("torchrun --nnodes=$SLURM_NNODES --nproc_per_node=8", "torchrun", 8, "--nnodes is $SLURM_NNODES, which the"),
        ("torchrun --nproc_per_node $(nproc)", "torchrun", 1, "--nproc_per_node is $(nproc), which the text does"),
        ("torchrun $ARGS", "torchrun", 1, "the text does not set $ARGS, which starts it; 1 is assumed"),
        ("ARGS='--nproc_per_node 4 --node_rank $RANK'\ntorchrun $ARGS", "torchrun", 4, ""),
        ("$LAUNCH", "python", 1, "the text does not set $LAUNCH, which starts it"),
        ("deepspeed --include localhost:0,1,2", "deepspeed", 3, ""),
        ("mpirun -H a:4,b:2 python", "mpirun", 6, ""),
        ("mpirun -np 8 -N 4 python", "mpirun", 8, ""),
        ("conda run -n 5 torchrun --nproc_per_node 2", "torchrun", 2, ""),
        ("CUDA_VISIBLE_DEVICES=0,1,2 python -m torch.distributed.run --nproc_per_node gpu --", "torchrun", 3, ""),
        ("for R in 0 1; do RANK=$R WORLD_SIZE=2 python @ & done; wait", "python", 2, ""),
    ],
)
def test_processes_are_those_that_the_script_asks_for(text: str, launcher: str, processes: int, said: str) -> None:
    script = text.replace("@", OPEN_CLIP) if "@" in text else f"{text} {OPEN_CLIP}"
    imported = import_foreign(f"#!/bin/bash\n{script}\n")
    assert (imported.origin.launcher, imported.origin.processes) == (launcher, processes)
    assert imported.values["train"]["batch"] == 64 * processes
    told = [one for one in imported.origin.assumed if one.startswith("processes")]
    assert bool(told) == bool(said) and said in " ".join(told)
    if said and launcher != "python":
        given = import_foreign(f"#!/bin/bash\n{script}\n", processes=24)
        assert given.values["train"]["batch"] == 64 * 24 and not given.origin.assumed


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("A='--lr 1e-4 --name x'", "$A"),
        ("A=(--lr 1e-4 --name 'x')", '"${A[@]}"'),
        ("A=--lr; A+=' 1e-4 '; A+='--name x'", "$A"),
        ("A=(--lr 1e-4); A+=(--name x)", "${A[*]}"),
        ('A="$A --lr 1e-4"; A="${A} --name x"', "$A"),
        ("N=x; declare -r L=$((1))e-$((2 * 2))", "--lr $L --name ${N:-y}"),
        ("", "--lr ${L:-1e-4} --name ${N:=x}"),
        ("L=1e-4.bak; N=/a/x", "--lr ${L%.*} --name ${N##*/}"),
        ("set -- 1e-4 x", '--lr "$1" --name "${2}"'),
        ("B=yes; if [[ $B == y* ]]; then A='--lr 1e-4'; else A='--lr 1'; fi", "$A --name x"),
        ("B=2; [ $B -gt 1 ] && L=1e-4 || L=9", "--lr $L --name x"),
        ("case b in a) L=1;; b|c) L=1e-4;; esac", "--lr $L --name x"),
        ("for i in 1 2 4; do L=1e-$i; done", "--lr $L --name x"),
        ('[ -z "$L" ] && exit 1; L=1e-4', "--lr $L --name x"),
        ("while [ $# -gt 0 ]; do case $1 in --lr) L=$2; shift;; esac; shift; done; : ${L:=1e-4}", "--lr $L --name x"),
        ("read -r Z < f; L=1e-4", "--lr $L --name x"),
        ("", "--lr 1e-4 \\\n  --name 'x'\t# --lr 5"),
    ],
)
def test_words_are_those_of_bash(before: str, words: str) -> None:
    imported = import_foreign(f"{before}\ntorchrun --nproc_per_node 2 {OPEN_CLIP} {words}\n")
    assert (imported.values["train"]["optimizer"]["lr"], imported.values["name"]) == (1e-4, "x")


@pytest.mark.parametrize(
    ("before", "words", "said"),
    [
        ("", "$A", "The flags in $A (line 2)"),
        ("A=(x y); A[3]=z", '"${A[@]}"', "The flags in $A (line 2)"),
        ("if [ $1 = a ]; then L=1; else L=2; fi", "--lr $L", "--lr is $L (line 2), but the text does not set"),
        ("while read L; do :; done", "--lr $L", "--lr is $L (line 2)"),
        ("L=$(cat rate)", "--lr $L", "--lr is $(cat…) (line 2)"),
        ("", "--new $A", "The flags in $A (line 2) after --new are unknown"),
        ("", "--lr 1e-4 stray", "The word 'stray' (line 2) after 1e-4 belongs to no flag"),
        ("", "--lr 1e-4\n--beta1 0.5", "Line 3 begins with --beta1"),
    ],
)
def test_a_word_that_stays_unknown_is_refused_with_its_place(before: str, words: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        import_foreign(f"{before}\ntorchrun --nproc_per_node 2 {OPEN_CLIP} {words}\n")
    assert said in str(error.value)
