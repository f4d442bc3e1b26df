"""The retriever: a vision–language backbone without its LM head, and a head that makes vectors.

Shapes: B queries or pages, T tokens, H hidden width, D vector width.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from collotype.families.retriever.backbones import ROWS
from collotype.families.retriever.backbones.patches import multiply_patches
from collotype.families.retriever.batches import BATCH_TOKENS, in_batches
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.inverted import all_scores
from collotype.families.retriever.processor import Processor
from collotype.losses.contrastive import Vectors, score_all
from collotype.losses.sparse import bags, saturated, saturated_at
from collotype.runtime.device import DTYPES, room_on
from collotype.runtime.digest import UNREAD, FileDigest, state_digest

LATER = ("keeps_budget", "tokenizer_frame")
"""What presets came to say after digests were first kept: where it is off, a model is the one that it was."""


class Retriever(nn.Module):
    """Late interaction (every token a vector: ColPali, ColQwen2) or a single vector (the mean: BiPali; the last token:
    BiQwen2), L2-normalised."""

    events: Sequence[dict[str, Any]] = ()
    """What its files are to be told for."""
    unchecked: "Callable[[Retriever], Sequence[dict[str, Any]]] | None" = None
    """Finds what is odd about the values of its weights, if nobody has looked at them yet."""
    from_files: FileDigest | None = None
    """Tells its weights by the files they come from."""

    page_model: "Callable[[], Retriever] | None" = None
    """Reads, when it is first called, what encodes the pages of a student that reads queries only."""

    def __init__(self, config: RetrieverConfig, processor: Processor):
        super().__init__()
        self.config, self.processor = config, processor
        self.row = ROWS[config.backbone]
        seeing = config.seeing
        self.layout = ROWS[seeing.backbone].layout(seeing.backbone_config, config.preset.max_visual_tokens)
        self.backbone = multiply_patches(self.row.build(config.backbone_config))
        hidden = self.row.hidden_size(config.backbone_config)
        # torch's default initialisation, as in the paper's code
        self.custom_text_proj = nn.Linear(hidden, config.dim) if config.dim else None

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Vectors [B, T, D] and their mask [B, T] (T = 1 for a single vector); masked vectors are zero."""
        sparse = self.config.interaction == "sparse"
        if sparse and "pixel_values" not in inputs:
            words = bags(inputs["input_ids"], inputs["attention_mask"].bool(), self.width)[:, None]
            return words, words.new_ones(words.shape[:2], dtype=torch.bool)
        hidden, mask = self.states(inputs)
        if self.config.interaction == "single":
            hidden = pool(hidden, mask, self.config.pooling)
            mask = mask.any(1, keepdim=True)
        if sparse:
            weights = saturated(self.projected(hidden), mask)[:, None]
            return weights, mask.any(1, keepdim=True)
        return functional.normalize(self.projected(hidden), dim=-1) * mask[..., None], mask

    def projected(self, hidden: Tensor) -> Tensor:
        return hidden if self.custom_text_proj is None else self.custom_text_proj(hidden)

    def states(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The backbone's last hidden states [B, T, H] and the mask [B, T]."""
        if "pixel_values" in inputs:
            pixels = self.layout.scaled(inputs["pixel_values"])
            inputs = {**inputs, "pixel_values": pixels.to(next(self.backbone.parameters()).dtype)}
        causal = self.config.preset.query_attention == "causal"
        return self.row.forward(self.backbone, inputs, causal), inputs["attention_mask"].bool()

    @property
    def width(self) -> int:
        """D, the numbers of a vector."""
        return self.config.dim or self.row.hidden_size(self.config.backbone_config)

    def digest(self) -> str:
        """Of architecture, preset, tokenizer and weights: what decides an embedding, but for the type it is computed
        in. UNREAD on a dry run, unless it is known already."""
        config = self.config.to_dict()
        # what it was trained for decides no vector, nor does where its teacher lies
        del config["compact"]
        if pages := config.pop("pages"):
            config["pages"] = pages["sha256"]
        config["preset"] = {name: value for name, value in config["preset"].items() if value or name not in LATER}
        facts = json.dumps([config, self.processor.tokenizer.to_str()], sort_keys=True)
        weights = (self.from_files and self.from_files.of(self, facts)) or state_digest(self, torch.float32)
        return hashlib.sha256((facts + weights).encode()).hexdigest() if weights else UNREAD

    @property
    def page_digest(self) -> str:
        """Of all that decides a page's vectors."""
        return self.config.pages.sha256 if self.config.pages else self.digest()

    def blocks(self) -> list[nn.Module]:
        """The layers of the vision tower and of the language model, from the input on."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        return [module for module in self.modules() if isinstance(module, GradientCheckpointingLayer)]

    @torch.inference_mode()
    def encode_queries(
        self, queries: Sequence[str], batch_tokens: int = BATCH_TOKENS, cut: bool = False
    ) -> list[Tensor]:
        """A float32 tensor [num_vectors, D] on the CPU for each query, whatever the batch.

        Queries of like length share a forward pass of at most `batch_tokens` tokens, padding included.

        Args:
            cut: leave out of a query what is beyond `max_query_tokens`, as training does.

        Raises:
            UserError: a query is empty, or longer than that and not to be cut.
        """
        lengths = [len(self.processor.query_ids(query, cut)[0]) for query in queries]
        read = queries.__getitem__
        return in_batches(
            lengths, batch_tokens, lambda batch: self.vectors(self.processor.queries([*map(read, batch)], cut))
        )

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_tokens: int = BATCH_TOKENS) -> list[Tensor]:
        """As `encode_queries` for pages' texts, which may be long (`MAX_TEXT_TOKENS`) or empty."""
        if self.page_model:
            return self.page_model().to(self.device).encode_texts(texts, batch_tokens)
        ids = [self.processor.text_ids(text) for text in texts]
        lengths = [*map(len, ids)]
        return in_batches(
            lengths, batch_tokens, lambda batch: self.vectors(self.processor.padded([ids[place] for place in batch]))
        )

    def encode_pages(self, images: Sequence[Image.Image], batch_tokens: int = BATCH_TOKENS) -> list[Tensor]:
        """A float32 tensor [num_vectors, D] on the CPU for each page image, batched as `encode_queries`."""
        return self.encode_pages_from([image.size for image in images], images.__getitem__, batch_tokens)

    @torch.inference_mode()
    def encode_pages_from(
        self,
        sizes: Sequence[tuple[int, int]],
        image: Callable[[int], Image.Image],
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[Tensor]:
        """As `encode_pages` for pages of known (width, height) whose images are made when their turn comes."""
        if self.page_model:
            return self.page_model().to(self.device).encode_pages_from(sizes, image, batch_tokens)
        lengths = [self.processor.page_length(size) for size in sizes]
        return in_batches(lengths, batch_tokens, lambda batch: self.vectors(self.processor.pages([*map(image, batch)])))

    @torch.inference_mode()
    def encode_sparse(
        self,
        sizes: Sequence[tuple[int, int]],
        image: Callable[[int], Image.Image],
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """As `encode_pages_from`, of a sparse model: of each page the vocabulary's tokens that it has, int64 [n], their
        weights, float32 [n], and which of the page's own tokens each was read at, int64 [n]; on the CPU."""

        def encoded(batch: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
            states, mask = self.computed(self.states, self.processor.pages([*map(image, batch)]))
            found = []
            for weights, at in zip(*saturated_at(self.projected(states), mask), strict=True):
                tokens = weights.nonzero()[:, 0]
                found.append((tokens.cpu(), weights[tokens].float().cpu(), at[tokens].cpu()))
            return found

        return in_batches([self.processor.page_length(size) for size in sizes], batch_tokens, encoded)

    def check_weights(self) -> None:
        """Looks at the values of weights that nobody has looked at; `events` has what is odd.

        Raises:
            UserError: one is not finite.
        """
        look, self.unchecked = self.unchecked, None
        if look:
            self.events = (*self.events, *look(self))

    def vectors(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        """A float32 tensor [num_vectors, D] on the CPU for each row of what the processor makes."""
        vectors, mask = self.computed(self, inputs)
        return [row[keep].float().cpu() for row, keep in zip(vectors, mask, strict=True)]

    def computed(
        self, compute: Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]], inputs: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        self.eval()
        self.check_weights()
        with room_on(self.device, "use a smaller --batch-tokens"):
            return compute({name: tensor.to(self.device) for name, tensor in inputs.items()})

    @property
    def held_in(self) -> str:
        """The type of its weights where that is not float32: its vectors have other last digits."""
        dtype = next(self.backbone.parameters()).dtype
        names = {dtype: name for name, dtype in DTYPES.items()} | {torch.float32: ""}
        return names.get(dtype, str(dtype))

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.inference_mode()
    def score(self, queries: Sequence[Tensor], pages: Sequence[Tensor]) -> Tensor:
        """MaxSim (the dot product, for single vectors) of all pairs: float32 [num_queries, num_pages] on the CPU."""
        if not len(queries) or not len(pages):
            return torch.zeros(len(queries), len(pages))
        if self.config.interaction == "sparse":
            return all_scores(queries, pages)
        asked, there = (Vectors(*(tensor.to(self.device) for tensor in stack(side))) for side in (queries, pages))
        return score_all(asked, there).cpu()


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector [B, 1, H] of the tokens [B, T, H] that are there."""
    if pooling == "last":
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        last = places.masked_fill(~mask, -1).max(dim=1).values
        return hidden[torch.arange(len(hidden), device=hidden.device), last][:, None]
    weights = mask.to(hidden.dtype)[..., None]
    return (hidden * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def stack(embeddings: Sequence[Tensor]) -> Vectors:
    """Ragged [num_vectors, D] tensors as one padded [B, T, D] and its mask [B, T]."""
    padded = nn.utils.rnn.pad_sequence(list(embeddings), batch_first=True)
    lengths = torch.tensor([len(vectors) for vectors in embeddings])
    return Vectors(padded, torch.arange(padded.shape[1]) < lengths[:, None])
