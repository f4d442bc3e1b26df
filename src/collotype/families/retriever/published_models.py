"""Open retrievers of 2026 by name, with what was verified of each."""

from dataclasses import dataclass

SHAPE = "its shape to the parameter"
ENGINE = "small weights under its published names compute as colpali-engine 0.3.18 does, to 2e-5"
UNREAD = "its own weights and files, which were never loaded here"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published model; `backbone` none: nothing here computes it."""

    name: str
    backbone: str | None
    size: str
    dim: int | None
    """None: the hidden states themselves."""
    licence: str = "Apache-2.0"
    verified: tuple[str, ...] = ()
    not_verified: tuple[str, ...] = (UNREAD,)

    def __str__(self) -> str:
        width = f"{self.dim:,} values" if self.dim else "no projection"
        what = f"{self.backbone} {self.size}, {width}, {self.licence}" if self.backbone else f"not here, {self.licence}"
        yes = f" Verified: {'; '.join(self.verified)}." if self.verified else ""
        return f"{self.name}: {what}.{yes} Not verified: {'; '.join(self.not_verified)}."


def qwen3_5(name: str, size: str, dim: int, *unsure: str, **rest: str) -> Checkpoint:
    verified = (ENGINE, SHAPE)
    return Checkpoint(
        name=name, backbone="qwen3.5", size=size, dim=dim, verified=verified, not_verified=(*unsure, UNREAD), **rest
    )


def qwen3_vl(name: str, size: str, dim: int | None, *unsure: str, **rest: str) -> Checkpoint:
    return Checkpoint(
        name=name, backbone="qwen3-vl", size=size, dim=dim, verified=(ENGINE,), not_verified=(*unsure, UNREAD), **rest
    )


BUDGET = "its visual budget, which its own file states"
BOTH_WAYS = "that its full attention is bidirectional, which mteb's wrapper says and no file of it"
CHECKPOINTS = (
    qwen3_5("tencent/EVIE-8B", "9b", 4096, BOTH_WAYS),
    qwen3_5("tencent/EVIE-4.5B", "4b", 2048, BOTH_WAYS),
    Checkpoint(
        name="tencent/EVIE-Preview-4.5B",
        backbone="qwen3.5",
        size="4b",
        dim=128,
        verified=(ENGINE,),
        not_verified=("its licence, attention and visual budget, taken to be EVIE-4.5B's", UNREAD),
    ),
    qwen3_5("vultr/VultronRetrieverPrime-Qwen3.5-8B", "9b", 320, BUDGET),
    qwen3_5("vultr/VultronRetrieverCore-Qwen3.5-4.5B", "4b", 320, BUDGET),
    qwen3_5("vultr/VultronRetrieverFlash-Qwen3.5-0.8B", "0.8b", 320, BUDGET),
    qwen3_5("athrael-soju/colqwen3.5-4.5B-v3", "4b", 320, BUDGET),
    qwen3_5(
        "perplexity-ai/pplx-embed-v2-late-9b", "9b", 128, "its frame of pages, read of a stored test", licence="MIT"
    ),
    Checkpoint(
        name="perplexity-ai/pplx-embed-v2-late-0.6b",
        backbone="qwen3.5",
        size="of 12 layers",
        dim=128,
        licence="MIT",
        verified=(ENGINE,),
        not_verified=("its frame of pages, read of a stored test", UNREAD),
    ),
    qwen3_vl("TomoroAI/tomoro-colqwen3-embed-8b", "8b", 320, "whether its projection has a bias"),
    qwen3_vl("TomoroAI/tomoro-colqwen3-embed-4b", "4b", 320, "whether its projection has a bias"),
    qwen3_vl("OpenSearch-AI/Ops-Colqwen3-4B", "4b", 2560, BUDGET, "that queries have the prefix of its class"),
    qwen3_vl("Verm1ion/ColTurk-VDR-Qwen3VL-4B-v1.0", "4b", 320, BUDGET),
    qwen3_vl(
        "nvidia/nemotron-colembed-vl-8b-v2",
        "8b",
        None,
        "its attention in both directions, chat template and budget",
        licence="NVIDIA's",
    ),
    qwen3_vl(
        "nvidia/nemotron-colembed-vl-4b-v2",
        "4b",
        None,
        "its attention in both directions, chat template and budget",
        licence="NVIDIA's",
    ),
    Checkpoint(
        name="ModernVBERT/colmodernvbert",
        backbone="modernvbert",
        size="250m",
        dim=128,
        licence="MIT",
        verified=(ENGINE, "so does transformers' own class", SHAPE, "every name its weights had"),
    ),
    Checkpoint(
        name="ModernVBERT/bimodernvbert",
        backbone="modernvbert",
        size="250m",
        dim=None,
        licence="MIT",
        verified=(ENGINE, SHAPE),
    ),
    *(
        Checkpoint(
            name=f"DataScience-UIBK/Argus-Colqwen3.5-{size}-v0{ending}",
            backbone=None,
            size="",
            dim=1024,
            not_verified=("its experts, router and gates, which only its own code describes",),
        )
        for size in ("2b", "4b", "9b")
        for ending in ("", "-bf16")
    ),
    *(
        Checkpoint(
            name=f"VAGOsolutions/SauerkrautLM-ColQwen3-{size}-v0.1",
            backbone="qwen3-vl",
            size=size.lower(),
            dim=128,
            not_verified=("its frame of queries and pages: name a preset, and compare with its own package", UNREAD),
        )
        for size in ("1.7b-Turbo", "2b", "4b", "8b")
    ),
    *(
        Checkpoint(
            name=f"webAI-Official/webAI-ColVec1.1-{size}",
            backbone=None,
            size="",
            dim=640,
            licence="its own licence, not commercial",
            not_verified=("its attention, frame and budget, which only its own code describes",),
        )
        for size in ("4b", "8b")
    ),
    Checkpoint(
        name="ModernVBERT/modernvbert-embed",
        backbone="modernvbert",
        size="250m",
        dim=None,
        licence="MIT",
        not_verified=("its pooling and frame: name a preset", UNREAD),
    ),
    Checkpoint(
        name="vidore/colqwen-omni-v0.1",
        backbone=None,
        size="",
        dim=128,
        licence="MIT",
        not_verified=("its audio tower: the thinker of Qwen2.5-Omni is not a row here",),
    ),
)
