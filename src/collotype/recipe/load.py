"""Loads a recipe by name or file, with overrides, and writes it as YAML."""

import copy
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from collotype.recipe.evaluate import Evaluate
from collotype.recipe.family import recipe_spec
from collotype.recipe.schema import Recipe
from collotype.recipe.smoke import smoke_form
from collotype.registry import FAMILIES
from collotype.runtime.errors import UserError

BUILTIN = Path(__file__).parent / "builtin"


class Strict:
    """YAML in which 5e-5 is a number, and in which a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep)  # type: ignore[misc,no-any-return]


class RecipeLoader(Strict, yaml.SafeLoader):
    """In Python: its errors show the line."""


class FastLoader(Strict, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same by libyaml, where PyYAML was built with it: an eighth of the time."""


for loader in (RecipeLoader, FastLoader):
    loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def builtin_names() -> list[str]:
    return sorted(file.stem for file in BUILTIN.glob("*.yaml"))


def parse_yaml(text: str, origin: str) -> Any:
    try:
        try:
            return yaml.load(text, FastLoader)  # noqa: S506 - both are SafeLoaders
        except yaml.YAMLError:
            return yaml.load(text, RecipeLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{origin} is not valid YAML ({problem}); correct it.") from error


def find_recipe(name_or_file: str) -> Path:
    """The file behind a built-in name or a path."""
    if name_or_file in builtin_names():
        return BUILTIN / f"{name_or_file}.yaml"
    path = Path(name_or_file)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if path.is_file():
        return path
    if path.is_dir():
        raise UserError(f"The folder {path} contains no recipe.yaml; give a recipe file or a run directory.")
    near = difflib.get_close_matches(name_or_file, builtin_names(), n=1)
    hint = f"did you mean {near[0]!r}? Otherwise " if near else ""
    known = ", ".join(builtin_names())
    raise UserError(f"There is no recipe {name_or_file!r}; {hint}give a file or a built-in recipe ({known}).")


def set_key(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets `a.b.0.c` in nested mappings and lists, making missing mappings on the way; the number may be left out where
    a list has one item."""
    *path, last = dotted.split(".")
    here: Any = values
    try:
        for key in path:
            if isinstance(here, list):
                if len(here) > 1 or key.isdigit():
                    here = here[int(key)]
                    continue
                here = here[0]
            if here.get(key) is None:
                here[key] = {}
            here = here[key]
        if isinstance(here, list) and len(here) == 1 and not last.isdigit():
            here = here[0]
        here[int(last) if isinstance(here, list) else last] = value
    except (ValueError, IndexError, AttributeError, TypeError):
        raise UserError(
            f"--set {dotted}: the recipe has no such key; `collotype check --recipe` lists its keys."
        ) from None


def parse_overrides(assignments: list[str]) -> dict[str, Any]:
    """`["train.steps=8"]` -> `{"train.steps": 8}`; values are read as YAML."""
    overrides = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set {assignment!r} is not of the form key.path=value, for example --set train.steps=8.")
        overrides[key.strip()] = parse_yaml(value, f"the value of --set {key}")
    return overrides


def explain(error: ValidationError, origin: str) -> str:
    """The first problem of a recipe, as one sentence."""
    first = error.errors()[0]
    parts = [part for at, part in enumerate(first["loc"]) if not is_kind(first["loc"], at)]
    place = ".".join(map(str, parts)) or "the top level"
    if first["type"] == "value_error":
        problem = str(first["ctx"]["error"])
    elif first["type"] == "missing":
        problem = "this key is required and missing"
    else:
        problem = f"{first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"
    more = f" ({error.error_count() - 1} more after it)" if error.error_count() > 1 else ""
    return f"{origin}, at {place}: {problem}{more}."


def is_kind(location: Sequence[str | int], at: int) -> bool:
    """Is this part of a place pydantic's own? It puts the kind of a source after its number, and a type after a key
    that takes several."""
    part = location[at]
    of_source = location[0] == "data" and at > 0 and isinstance(location[at - 1], int)
    return isinstance(part, str) and (of_source or not part.isidentifier())


def read_values(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe's file as keys and values; those it lacks come from the recipe it names as its `base`.

    Args:
        below: the files that have led to this one as their base.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the recipe {path}: {error}.") from error
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a recipe: it contains {type(values).__name__}, not keys and values.")
    if "base" not in values:
        return values
    base = str(values.pop("base"))
    file = path.parent / base if (path.parent / base).is_file() else find_recipe(base)
    if file in (*below, path):
        raise UserError(f"{path} has the base {base}, which is based on {path} itself; name another recipe.")
    return {**read_values(file, (*below, path)), **values}


def variants_of(recipe: Recipe) -> dict[str, Recipe]:
    """The recipes a study runs, by the names of its variants; a recipe without a study is its one nameless variant.

    What is varied is not what was expected, so variants expect nothing.

    Raises:
        UserError: a change makes an invalid recipe.
    """
    if recipe.study is None:
        return {"": recipe}
    found = {}
    for name, changes in recipe.study.changes.items():
        values = {**recipe.model_dump(), "study": None, "expect": [], "name": f"{recipe.name}-{name}"}
        for key, value in changes.items():
            set_key(values, key, copy.deepcopy(value))
        found[name] = parse_recipe(values, f"The variant {name} of {recipe.name}")
    return found


def load_recipe(name_or_file: str | Path, overrides: Mapping[str, Any] | None = None, smoke: bool = False) -> Recipe:
    """A recipe by name or file.

    Args:
        name_or_file: a built-in name, a file, or a run directory.
        overrides: values by dotted key, {"train.steps": 8}.
        smoke: use its smoke form, before the overrides.

    Returns:
        The checked, immutable recipe, of its family's class.

    Raises:
        UserError: no such recipe, an unknown key (with the nearest known one), a wrong type, an impossible value.

    Examples:
        >>> import collotype
        >>> recipe = collotype.load_recipe("desk-colpali", {"train.steps": 8})
        >>> recipe.family, recipe.train.batch, recipe.train.steps, recipe.loss.name
        ('retriever', 32, 8, 'infonce')
        >>> collotype.load_recipe("desk-colpali", {"train.step": 8})
        Traceback (most recent call last):
        collotype.runtime.errors.UserError: Recipe desk-colpali, at train: unknown key 'step'; ...
    """
    values = read_values(find_recipe(str(name_or_file)))
    return parse_recipe(overridden(values, overrides or {}, smoke), f"Recipe {name_or_file}")


def overridden(values: Mapping[str, Any], overrides: Mapping[str, Any], smoke: bool = False) -> dict[str, Any]:
    """A recipe's values, or those of its smoke form, with `overrides` applied."""
    changed = copy.deepcopy(dict(smoke_form(values) if smoke else values))
    for key, value in overrides.items():
        # a later override may reach into this one's value, which is the caller's
        set_key(changed, key, copy.deepcopy(value))
    return changed


def parse_recipe(values: dict[str, Any], origin: str) -> Recipe:
    """
    Raises:
        UserError: no recipe of its family, or of none.
    """
    family = values.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(f"{origin}, at family: found {family!r}; the families are {', '.join(FAMILIES)}.")
    try:
        return recipe_spec(family).recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, origin)) from None


def load_evaluation(family: str, **values: Any) -> Evaluate:
    """What to evaluate a model of a family on, from the keys of a recipe's `evaluate` entry; a value of none is the
    key's default.

    Raises:
        UserError: an impossible value or combination, or a key that the family does not have.
    """
    given = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    given = {key: value for key, value in given.items() if value not in (None, [])}
    try:
        return recipe_spec(family).evaluate.model_validate(given)
    except ValidationError as error:
        raise UserError(explain(error, "The evaluation")) from None


def recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML, every default written out."""
    return as_yaml(recipe.model_dump())


def as_yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def first_line(name: str) -> str:
    """What a built-in recipe says of itself in its first line, without its name."""
    line = (BUILTIN / f"{name}.yaml").read_text().split("\n", 1)[0]
    return line.removeprefix("#").strip().removeprefix(f"{name}:").strip()
