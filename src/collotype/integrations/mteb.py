"""A retriever that `mteb.evaluate` accepts.

import mteb
from collotype.integrations.mteb import retriever
results = mteb.evaluate(retriever("runs/desk-colpali/model"), mteb.get_benchmark("ViDoRe(v1)"))

It is a searcher to mteb (its SearchProtocol), not an encoder: an encoder of many vectors must pad its pages with zeros,
and a zero wins a maximum whose similarities are negative. Scores are our masked MaxSim on ragged vectors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from collotype.evaluation.ranking import rank
from collotype.families import load
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.token_pooling import Pooling
from collotype.runtime.device import pick_device
from collotype.runtime.errors import UserError
from collotype.runtime.world import World

PAGES_AT_ONCE = 512
"""Pages padded and scored together."""


class MtebRetriever:
    """Searches the pages of an mteb task; made by `retriever`."""

    def __init__(self, model: Retriever, name: str, pooling: Pooling | None = None):
        self.model, self.pooling = model, pooling
        self.mteb_model_meta = describe(model, name, pooling)
        self.pages: dict[str, Tensor] = {}

    def index(self, corpus: Any, *, task_metadata: Any, encode_kwargs: Mapping[str, Any], **settings: Any) -> None:
        """Encodes the corpus; of a document that is an image with text, the image.

        Raises:
            UserError: the task's documents have no image.
        """
        self.pages = {}
        for batch in loader(corpus, "document", "image", task_metadata, encode_kwargs, settings):
            vectors = self.model.encode_pages(batch["image"])
            self.pages |= zip(batch["id"], self.pooling(vectors) if self.pooling else vectors, strict=True)

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, list[str]] | None = None,
        **settings: Any,
    ) -> dict[str, dict[str, float]]:
        """Scores of each query's `top_k` pages, of all or of those in `top_ranked`; ties as trec_eval breaks them.

        Raises:
            UserError: the task's queries are not text.
        """
        ids, vectors = [], []
        for batch in loader(queries, "query", "text", task_metadata, encode_kwargs, settings):
            ids += batch["id"]
            vectors += self.model.encode_queries(batch["text"], cut=True)
        pages, found = list(self.pages), {}
        for query, row in zip(ids, self.scores(vectors).tolist(), strict=True):
            scores = dict(zip(pages, row, strict=True))
            candidates = scores if top_ranked is None else {page: scores[page] for page in top_ranked[query]}
            found[query] = {page: scores[page] for page in rank(candidates)[:top_k]}
        return found

    def scores(self, queries: list[Tensor]) -> Tensor:
        """float32 [num_queries, num_pages]."""
        pages = list(self.pages.values())
        starts = range(0, len(pages), PAGES_AT_ONCE)
        return torch.cat([self.model.score(queries, pages[at : at + PAGES_AT_ONCE]) for at in starts], dim=1)


def retriever(
    model: str | Path | Retriever, name: str | None = None, pooling: Pooling | None = None, dtype: str | None = None
) -> MtebRetriever:
    """A retriever for `mteb.evaluate`, on this process's device if it is given as a folder.

    Args:
        model: a model folder, or a loaded model.
        name: what mteb's results call it, "organisation/model" [default: collotype/ and the run's name]. The revision
            beside it is a digest of weights and preset, so mteb's cache never answers for another model.
        pooling: of the page vectors.
        dtype: of a model given as a folder, as of `collotype.load`.

    Raises:
        UserError: mteb is not installed, there is no such model, or it is not a retriever.
    """
    try:
        import mteb  # noqa: F401
    except ImportError as error:
        raise UserError(f"mteb cannot be imported ({error}); install it with `pip install collotype[mteb]`.") from error
    if isinstance(model, str | Path):
        folder = Path(model).resolve()
        name = name or f"collotype/{folder.parent.name if folder.name == 'model' else folder.name}"
        model = load(folder, dtype=dtype).to(pick_device(World()))
    if not isinstance(model, Retriever):
        raise UserError(f"{type(model).__name__} is not a retriever of page images; give a retriever's model folder.")
    return MtebRetriever(model, name or "collotype/retriever", pooling)


def loader(
    dataset: Any, prompt_type: str, modality: str, task_metadata: Any, encode_kwargs: Mapping[str, Any], settings: Any
) -> Any:
    """mteb's own batches of a corpus or of queries (instructions joined to queries, conversations made one text)."""
    from mteb._create_dataloaders import create_dataloader
    from mteb.types import PromptType

    prompt = PromptType(prompt_type)
    modalities = task_metadata.get_modalities(prompt)
    if modality not in modalities:
        raise UserError(
            f"The task {task_metadata.name} has a {prompt_type} of {modalities}, but a retriever of page images takes "
            "text queries and page images; leave the task out."
        )
    workers = settings.get("num_proc")
    return create_dataloader(
        dataset, task_metadata=task_metadata, prompt_type=prompt, num_proc=workers, **encode_kwargs
    )


def describe(model: Retriever, name: str, pooling: Pooling | None) -> Any:
    """The model as mteb records it."""
    from mteb.models import ModelMeta

    late = model.config.interaction == "late"
    facts = {
        "name": name,
        "revision": model.digest()[:16],
        "modalities": ["text", "image"],
        "model_type": ["late-interaction" if late else "dense"],
        "similarity_fn_name": "MaxSim" if late else "dot",
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "embed_dim": model.width,
        "framework": ["PyTorch"],
        "experiment_kwargs": {"pooling": pooling.method, "pool_factor": pooling.factor} if pooling else None,
    }
    empty = ModelMeta.create_empty()
    return ModelMeta(**{**empty.model_dump(), **facts})
