"""Checked by mypy, never run: each family's task is what the engine asks for."""

from typing import Any

from collotype.families.beit3.task import Beit3Task
from collotype.families.clip.task import ClipTask
from collotype.families.retriever.task import RetrieverTask
from collotype.training.task import Task


def tasks(retriever: RetrieverTask, clip: ClipTask, beit3: Beit3Task) -> list[Task[Any, Any]]:
    return [retriever, clip, beit3]
