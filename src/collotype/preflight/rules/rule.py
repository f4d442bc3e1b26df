"""The type of a rule, and its registration."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from collotype.preflight.context import CheckContext
from collotype.preflight.findings import Finding, Severity

REPAIRED = "repaired by the recipe"
"""The fix of what an imported command would have done."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one finding has of its own; what is none is the rule's."""

    seen: str
    reference: str
    why: str
    fix: str
    name: str | None = None
    severity: Severity | None = None
    effect: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Rule:
    """
    Args:
        source: where the difference is documented.
        effect: its size, where somebody measured it.
        here: false of what an imported command would have done.
        training: is it about how a model is trained? A command that only evaluates is not asked then.
    """

    look: Callable[[CheckContext], Iterator[Evidence]]
    name: str
    severity: Severity
    source: str
    effect: str = ""
    here: bool = True
    training: bool = True

    def __call__(self, context: CheckContext) -> Iterator[Finding]:
        if not self.here and context.origin is None:
            return
        if self.here and self.training and context.upstream.get("evaluates_only"):
            return
        for seen in self.look(context):
            yield Finding(
                severity=seen.severity or self.severity,
                name=seen.name or self.name,
                seen=seen.seen,
                reference=seen.reference,
                why=seen.why,
                effect=self.effect if seen.effect is None else seen.effect,
                fix=seen.fix,
                source=seen.source or self.source,
                here=self.here,
            )


def rule(
    name: str, severity: Severity, source: str, effect: str = "", here: bool = True, training: bool = True
) -> Callable[[Callable[[CheckContext], Iterator[Evidence]]], Rule]:
    """Makes a rule of the function that looks."""
    return lambda look: Rule(look, name, severity, source, effect, here, training)


def upstream_rule(
    name: str, severity: Severity, source: str, effect: str = ""
) -> Callable[[Callable[[CheckContext], Iterator[Evidence]]], Rule]:
    """A rule on what an imported command would have done; it is asked only where there is one."""
    return rule(name, severity, source, effect, here=False)
