"""The rank and world size that the launcher gave this process."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from collotype.runtime.errors import UserError


@dataclass(frozen=True)
class World:
    """rank in [0, size); local_rank counts within one machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Only this process writes files and prints."""
        return self.rank == 0

    @staticmethod
    def from_environment() -> "World":
        """The place a launcher gave this process; alone without one.

        Raises:
            UserError: the launcher's variables are not whole, or contradict each other.
        """
        for launcher in LAUNCHERS:
            if launcher.rank in os.environ and launcher.size in os.environ:
                rank, size = number(launcher.rank), number(launcher.size)
                local_rank = number(launcher.local_rank) if launcher.local_rank in os.environ else rank
                if not 0 <= rank < size:
                    raise UserError(
                        f"{launcher.rank} is {rank}, but {launcher.size} is {size}; start the launcher again."
                    )
                return World(rank, size, local_rank)
        return World()


ALONE = World()
"""One process."""


class Launcher(NamedTuple):
    """The environment variables by which a launcher tells a process its place."""

    rank: str
    size: str
    local_rank: str


LAUNCHERS = (
    # torchrun, python -m torch.distributed.launch, accelerate launch
    Launcher("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    # mpirun of Open MPI; of MPICH and Intel MPI
    Launcher("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    Launcher("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    # srun; last, for mpirun may run within an allocation
    Launcher("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)


def number(variable: str) -> int:
    try:
        return int(os.environ[variable])
    except ValueError:
        raise UserError(f"The environment variable {variable} is {os.environ[variable]!r}, not a number.") from None
