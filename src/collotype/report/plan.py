"""The type of a plan, and its text for terminal and report."""

from typing import Any, Required, TypedDict

from collotype.runtime.hub import needs

UNKNOWN = "unknown"
Values = dict[str, Any]


class Hardware(TypedDict, total=False):
    """What a device can do, as far as it is known."""

    kind: Required[str]
    """cpu or cuda."""
    capability: list[int]
    """[major, minor], of a GPU."""
    memory_mib: int
    tflops: float
    """Of matrix products in half precision (of a CPU: measured, in the run's precision)."""


class Plan(TypedDict, total=False):
    """A recipe's numbers resolved for the hardware at hand, as `check` and a record say them; what cannot be known is
    missing, and a rule that asks for another key is mistaken."""

    batch: int
    micro_batch: int | str
    processes: int
    negatives_per_query: int
    steps: int
    warmup_steps: int
    examples: int
    epochs: float
    warmup_epochs: float
    examples_left_out_per_epoch: int
    faults_of_data: str
    learning_rate: list[tuple[int, float]]
    precision: str
    shard: str
    device: str
    hardware: Hardware
    # what the task says of its model
    parameters: int
    trainable_parameters: int
    forward_gflops: float
    architecture: str
    image_size: int
    answers: int
    activation: str
    batch_norm_group: int | None
    vectors_per_page: int
    optional_kernels: dict[str, bool]
    preset: str
    query_attention: str
    max_visual_tokens: int
    preset_of_weights: str
    projection: dict[str, Any]
    teacher: dict[str, Any]
    # what planning adds
    estimate: dict[str, Any]
    data: dict[str, dict[str, Any]]
    folder: dict[str, Any]
    unknown: dict[str, str]
    fetched: list[str]
    fetch: needs.HubFacts
    overlap: dict[str, dict[str, int]]
    assumed: dict[str, str]
    reference: str
    findings: list[dict[str, Any]]


def in_words(recipe: Values, plan: Plan) -> dict[str, str]:
    """The plan's numbers as a method section has them, by subject; what is not known is left out or said to be so.

    Args:
        recipe, plan: as a record has them.
    """
    train, lines = recipe["train"], {}
    source = recipe["model"]["weights"] or (recipe.get("distill") or {}).get("teacher")
    lines["model"] = plan.get("architecture", f"{UNKNOWN} ({source})")
    if "parameters" in plan:
        trained = plan["trainable_parameters"]
        part = "all" if trained == plan["parameters"] else f"{trained:,}"
        lines["parameters"] = f"{plan['parameters']:,}, {part} of them trained"
    negatives = f"; {plan['negatives_per_query']:,} negatives per query" if plan["negatives_per_query"] else ""
    cut = f"{plan['processes']} process{'es' * (plan['processes'] > 1)}, micro-batch {plan['micro_batch']}"
    lines["batch"] = f"{train['batch']:,} on {cut}{negatives}"
    assumed = f", {plan['assumed']['examples']}" if plan.get("assumed") else ""
    epochs = (
        f" ({count(plan['epochs'], 'epoch')} of {plan['examples']:,} examples{assumed})" if "epochs" in plan else ""
    )
    lines["steps"] = f"{train['steps']:,}{epochs or ', epochs unknown'}"
    lines["learning rate"] = f"{train['optimizer']['lr']:g}, {train['schedule']['name']}, {warmup_line(plan)}"
    lines["optimiser"] = f"{train['optimizer']['name']}, precision {plan.get('precision', UNKNOWN)} on {plan['device']}"
    if "preset" in plan:
        pages = f", {plan['vectors_per_page']:,} vectors a page" if plan.get("vectors_per_page", 1) > 1 else ""
        lines["prompts"] = f"{plan['preset']}{pages}"
    if data := data_line(plan):
        lines["data"] = data
    if "faults_of_data" in plan:
        lines["faults"] = plan["faults_of_data"]
    if "estimate" in plan:
        lines["needs"] = needs_line(recipe, plan)
    if "fetch" in plan:
        lines["a run fetches"] = needs.in_words(plan["fetch"])
    return lines


def count(number: float, what: str) -> str:
    text = f"{number:.4g}"
    return f"{text} {what}{'' if text == '1' else 's'}"


def warmup_line(plan: Plan) -> str:
    steps, epochs = plan["warmup_steps"], plan.get("warmup_epochs")
    if not steps:
        return "no warm-up"
    of_epochs = f" ({count(round(epochs, 3), 'epoch')})" if epochs else ""
    return f"warm-up of {steps:,} step{'s' * (steps > 1)}{of_epochs}"


def data_line(plan: Plan) -> str:
    """Sizes of what is here, beside the published ones, and the beginning of the training data's fingerprint."""
    parts = []
    for name, facts in plan.get("data", {}).items():
        sizes = {what: size for what, size in facts.items() if isinstance(size, int)}
        of = facts.get("published", {})
        shown = [
            f"{size:,} {what}" + (f" (published {of[what]:,})" if what in of else "") for what, size in sizes.items()
        ]
        digests = [one["sha256"][:8] for one in facts.get("sources", [])]
        parts.append(f"{name} {', '.join(shown)}" + (f" [{' '.join(digests)}]" if digests else ""))
    return "; ".join(parts)


def needs_line(recipe: Values, plan: Plan) -> str:
    found = plan["estimate"]
    if "peak_memory_mib" in found:
        memory = f"memory {in_gib(found['peak_memory_mib'])} at its peak"
    else:
        memory = f"memory {in_gib(sum(found['memory_mib'].values()))} plus activations"
    disk = f"disk {in_gib(found['disk_mib'])}"
    if "step_s" not in found:
        return f"{memory}; {disk}; time unknown (--measure)"
    rough = "roughly " if found["from"] == "arithmetic" else ""
    total = found["step_s"] * recipe["train"]["steps"]
    return f"{memory}; {disk}; {rough}{in_time(total)} for the steps, by {found['from']}"


def in_gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def in_time(seconds: float) -> str:
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds / size < 100 else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
