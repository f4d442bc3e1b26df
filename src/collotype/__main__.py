"""`python -m collotype`, also under a launcher: `torchrun --nproc-per-node 2 -m collotype run R`."""

from collotype.cli import main

main()
