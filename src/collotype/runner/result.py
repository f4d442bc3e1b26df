"""The result of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collotype.evaluation.results import Results
from collotype.families import load
from collotype.report.record import Record
from collotype.report.verdict import Verdict


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, and the content of its `record.json`.

    Examples:
        >>> import collotype
        >>> run = collotype.run(
        ...     "desk-colpali", out="runs/tiny", overrides={"train.steps": 1, "evaluate": [], "expect": []}
        ... )
        >>> run.reproduced  # nothing was expected
        True
        >>> run.record["recipe"]["train"]["batch"]
        32
        >>> type(run.model()).__name__
        'Retriever'
    """

    folder: Path
    record: Record

    @property
    def results(self) -> Results:
        """The metrics by dataset: {"sheets/held-out": {"ndcg_at_5": 0.995, …}}."""
        return self.record["results"]

    @property
    def verdict(self) -> Verdict | None:
        """Each expectation with the measured value; None if the recipe expects nothing."""
        return self.record["verdict"]

    @property
    def reproduced(self) -> bool:
        """Whether every expectation was met."""
        return self.verdict is None or self.verdict["reproduced"]

    def model(self) -> Any:
        """The trained model, as `load` returns it."""
        return load(self.folder / "model")
