"""peft's LoraConfig: which settings are supported, and notes on the others. (peft 0.21.)"""

import re
from collections.abc import Mapping
from typing import Any

from collotype.importers.configue import CALL
from collotype.importers.mapping import MappingLedger, shown
from collotype.runtime.errors import UserError

BASE_CHANGES = "it changes the base's weights, too, so its adapter fits no other base"
INITIALISATIONS = {
    **dict.fromkeys(("pissa", "olora", "corda", "loftq", "lora_ga"), BASE_CHANGES),
    **{f"pissa_niter_{count}": BASE_CHANGES for count in (1, 2, 4, 8, 16, 32)},
    "eva": "it draws the first matrix from the data's directions",
    "false": "the second matrix is drawn, too, so that training does not start at the base",
    "orthogonal": "both matrices are drawn, neither is zero",
}
"""peft's `init_lora_weights` that have no counterpart, and what they do."""
OFF: tuple[Any, ...] = (None, False, [], {}, "")
NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        (
            "use_dora use_qalora use_bdlora lora_bias fan_in_fan_out rank_pattern alpha_pattern layers_to_transform "
            "layers_pattern exclude_modules trainable_token_indices target_parameters layer_replication loftq_config "
            "eva_config corda_config lora_ga_config arrow_config megatron_config alora_invocation_tokens "
            "ensure_weight_tying modules_to_save use_rslora"
        ).split(),
        OFF,
    ),
    "bias": ("none", None),
    "inference_mode": (False, None),
}
"""Settings of peft's LoraConfig, and the values at which they do nothing."""
UNREAD = {"task_type", "()", "megatron_core", "auto_mapping", "revision", "peft_type", "base_model_name_or_path"}
"""Those that say nothing of what is trained."""
CHANGES = {
    "use_dora": "magnitudes are trained beside the low-rank updates (DoRA)",
    "rank_pattern": "per-layer ranks are not supported; all layers get one",
    "alpha_pattern": "per-layer alphas are not supported; all layers get one",
    "layers_to_transform": "only these layers are adapted; a pattern at model.lora.targets says the same",
    "layers_pattern": "it says which layers layers_to_transform counts",
    "exclude_modules": "these are not adapted; a pattern at model.lora.targets says the same",
    "trainable_token_indices": "rows of the embedding are trained",
    "bias": "biases are trained",
    "lora_bias": "the second matrix has a bias",
}

PREFIX = "peft_config."


def take_lora(ledger: MappingLedger) -> None:
    """Every setting of the adapter: as the recipe's, at a value that does nothing, or told.

    Raises:
        UserError: it is another kind of adapter, or a value is impossible.
    """
    if not any(name.startswith(PREFIX) for name in ledger.given):
        return
    kind = ledger.given.get(f"{PREFIX}{CALL}")
    if not str(kind).endswith(".LoraConfig"):
        raise UserError(
            f"The config's peft_config is {shown(kind)}, but only peft.LoraConfig is supported; use that, or leave it "
            "out to train all weights."
        )
    ledger.recipe("model.lora.rank", ledger.count(f"{PREFIX}r", 8), f"{PREFIX}r", f"{PREFIX}{CALL}")
    ledger.recipe("model.lora.alpha", ledger.number(f"{PREFIX}lora_alpha", 8), f"{PREFIX}lora_alpha")
    ledger.recipe("model.lora.dropout", ledger.number(f"{PREFIX}lora_dropout", 0.0), f"{PREFIX}lora_dropout")
    take_initialisation(ledger, f"{PREFIX}init_lora_weights")
    targets, projection = lora_targets(ledger.given.get(f"{PREFIX}target_modules"))
    ledger.recipe("model.lora.targets", targets, f"{PREFIX}target_modules")
    late = bool(ledger.values["model"].get("dim"))
    full = take_saved(ledger, f"{PREFIX}modules_to_save", late)
    if late:
        ledger.recipe("model.lora.projection", "full" if full else "lora" if projection else "frozen")
    if ledger.given.get(f"{PREFIX}use_rslora") is not None:
        ledger.recipe("model.lora.rank_stabilised", ledger.switch(f"{PREFIX}use_rslora"), f"{PREFIX}use_rslora")
    for name, value in ledger.given.items():
        if name.startswith(PREFIX) and name not in ledger.carried:
            tell(ledger, name, value)
    ledger.beside(frozen_inputs=True)
    patterns = (dead_patterns(ledger.given, f"{PREFIX}{kind}_pattern.") for kind in ("rank", "alpha"))
    if dead := [key for keys in patterns for key in keys]:
        ledger.beside(dead_patterns=dead)


def take_initialisation(ledger: MappingLedger, name: str) -> None:
    """peft's `true` is Kaiming's, with a second matrix of zeros; every other is something else."""
    asked = ledger.given.get(name, True)
    known = {"gaussian": "gaussian", "True": "kaiming", "None": "kaiming"}.get(str(asked))
    if known:
        ledger.recipe("model.lora.init", known, name)
        return
    ledger.recipe("model.lora.init", "kaiming")
    why = INITIALISATIONS.get(str(asked).lower(), "it is not a supported initialisation")
    ledger.assume(name, f"{why}; kaiming is used, with a second matrix of zeros", asked)


def take_saved(ledger: MappingLedger, name: str, late: bool) -> bool:
    """Is the projection trained whole? Each other module that is, is told."""
    kept = ledger.given.get(name)
    modules = [str(one) for one in (kept if isinstance(kept, list) else [kept] if kept else [])]
    projections = [one for one in modules if late and one.endswith("custom_text_proj")]
    for module in modules:
        if module not in projections:
            ledger.assume(f"{name} ({shown(module)})", "it is fully trained there; left out", module)
    if projections:
        ledger.account("model.lora.projection", (name,))
    return bool(projections)


def tell(ledger: MappingLedger, name: str, value: Any) -> None:
    """What becomes of a setting that has no counterpart."""
    key = name.removeprefix(PREFIX).partition(".")[0]
    if key in NEUTRAL and value in NEUTRAL[key]:
        ledger.leave(name, "it does nothing at this value")
    elif key in UNREAD:
        ledger.leave(name, "it says nothing of what is trained")
    elif key not in ("init_lora_weights", "modules_to_save"):
        ledger.assume(name, f"{CHANGES.get(key, 'it is not supported')}; left out", value)


def dead_patterns(given: Mapping[str, Any], prefix: str) -> list[str]:
    """Keys of a pattern that come after one which has all their layers: peft takes the first that fits."""
    keys = [name.removeprefix(prefix).strip('"') for name in given if name.startswith(prefix)]
    dead = []
    for place, key in enumerate(keys):
        # what the key stands for, near enough: any sign for a sign of its pattern
        layer = re.sub(r"\\(.)", r"\1", re.sub(r"\(.*?\)|\[.*?\]|\.\*|\.\+|[$^?]", "x", key))
        if any(fits(general, layer) for general in keys[:place]):
            dead.append(key)
    return dead


def fits(pattern: str, layer: str) -> bool:
    """As peft.utils.other.get_pattern_key of 0.21 matches; what is no plain name is not tried."""
    return re.fullmatch(r"[\w.]{1,200}", pattern) is not None and re.match(rf"(.*\.)?({pattern})$", layer) is not None


def lora_targets(modules: Any) -> tuple[str, bool]:
    """Which layers a target_modules of peft means here, and whether the projection is one of them.

    A pattern that names all linear layers of a tower is one of the words; any other stays a pattern.
    """
    if isinstance(modules, list):
        words = [str(one) for one in modules]
        layers = [re.escape(one) for one in words if "text_proj" not in one]
        return rf"(.*\.)?({'|'.join(layers)})", len(layers) < len(words)
    text = str(modules or "all-linear")
    projection = "custom_text_proj" in text
    if text == "all-linear":
        return "all", False
    if "(?" in text or not all(f"{one}_proj" in text for one in ("down", "gate", "up", "k", "q", "v", "o")):
        return text, projection
    if re.search(r"vision_(model|tower)|visual|multi_modal_projector", text):
        return "all", projection
    if re.search(r"\((language_model|model|text_model|layers)\)", text):
        return "language-model", projection
    return text, projection
