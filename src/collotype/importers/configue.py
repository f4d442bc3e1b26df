"""The YAML dialect of configue 5 as plain data; what it would import or call stays a name.

`():` a callable's dotted name beside its arguments · `!ext a.b.C` that name alone · `!path p` a path from the file's
folder · `!import[:sub.path] f.yaml` another file of the folder · `!cfg sub.path` a place in the same file ·
`${NAME}`, `${NAME-default}` a variable that the text sets.
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from collotype.importers.mapping import shown
from collotype.runtime.errors import UserError

LONGEST_FILE = 64 * 1024
"""Bytes; published configs have 3 KB."""
MOST_VALUES = 20_000
"""After aliases, references and imports are followed."""
DEEPEST = 40
LONGEST_VARIABLE = 1000
TAGS = ("!ext", "!path", "!import", "!cfg")
CALL = "()"
PLAIN = "tag:yaml.org,2002:"
SCALARS = yaml.constructor.SafeConstructor()
VARIABLE = re.compile(r"\$\{(\w+)(?:-([^{}]*))?\}")


def load_configue(
    path: Path,
    packages: Collection[str],
    variables: Mapping[str, str] | None = None,
    text: str | None = None,
    stand_ins: Mapping[str, Any] | None = None,
) -> tuple[Any, list[str]]:
    """The file's data; nothing that it names is imported, called or opened but YAML files that it imports.

    Args:
        packages: whose functions and classes it may name.
        variables: what `${NAME}` stands for; the environment is not asked.
        text: the file's, where there is no file, and so none that it imports.
        stand_ins: data of published files by their names, for those that it imports and that are not there.

    Returns:
        the data, and the imported files that are not there.

    Raises:
        UserError: it cannot be read, names what is of no such package, leads out of its folder, or is beyond measure.
    """
    reader = ConfigueReader(packages, variables or {}, None if text is not None else root_of(path), stand_ins or {})
    return reader.read(path, text), reader.missing


def root_of(path: Path) -> Path:
    """What the file may import from: its folder, or the folder `configs` around that, as published ones lie."""
    folder = path.resolve().parent
    return next((parent for parent in (folder, *folder.parents) if parent.name == "configs"), folder)


class ConfigueReader:
    """Reads files that import each other, with one measure for all of them."""

    def __init__(
        self, packages: Collection[str], variables: Mapping[str, str], root: Path | None, stand_ins: Mapping[str, Any]
    ):
        self.packages, self.variables, self.root, self.stand_ins = packages, variables, root, stand_ins
        self.values, self.missing = 0, list[str]()

    def read(self, path: Path, text: str | None = None, depth: int = 0) -> Any:
        node = compose(text if text is not None else read_text(path), str(path))
        return File(self, path, node).convert(node, depth) if node is not None else None


class File:
    """One file on its way to data."""

    def __init__(self, reader: ConfigueReader, path: Path, root: yaml.Node | None):
        self.reader, self.path, self.root = reader, path, root

    def refuse(self, node: yaml.Node, problem: str) -> UserError:
        return UserError(f"{self.path}, line {node.start_mark.line + 1}: {problem}.")

    def convert(self, node: yaml.Node, depth: int) -> Any:
        self.reader.values += 1
        if self.reader.values > MOST_VALUES or depth > DEEPEST:
            raise self.refuse(
                node,
                f"its anchors, references or nesting expand to more than {MOST_VALUES} values or {DEEPEST} levels; "
                "write the values out",
            )
        if not node.tag.startswith(PLAIN):
            return self.tagged(node, depth)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if node.tag == f"{PLAIN}seq":
            return [self.convert(one, depth + 1) for one in node.value]
        if node.tag == f"{PLAIN}map" and isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        raise self.unknown_tag(node)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.refuse(key_node, "a key is no word; give it a name")
            key, value = key_node.value, self.convert(value_node, depth + 1)
            if key_node.tag == f"{PLAIN}merge":
                for one in value if isinstance(value, list) else [value]:
                    merged |= (
                        {name: each for name, each in one.items() if name not in merged}
                        if isinstance(one, dict)
                        else {}
                    )
                continue
            if key in found:
                raise self.refuse(key_node, f"the key {shown(key)!r} occurs twice; remove one")
            found[key] = self.name(value, value_node) if key == CALL else value
        return {**merged, **found}

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text = self.filled_in(node)
        if text != node.value and node.style is None:
            # what a variable holds is read as YAML, as configue does; it holds no structure here
            node = yaml.ScalarNode(yaml.resolver.Resolver().resolve(yaml.ScalarNode, text, (True, False)), text)
            node.start_mark = yaml.Mark("", 0, 0, 0, None, 0)
        kind = node.tag.removeprefix(PLAIN)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return SCALARS.construct_yaml_bool(node)
            if kind == "int":
                number = SCALARS.construct_yaml_int(node)
                if abs(number) >= 2**63:
                    raise ValueError("too large")
                return number
            if kind == "float":
                return SCALARS.construct_yaml_float(node)
        except (ValueError, KeyError, OverflowError) as error:
            raise self.refuse(
                node, f"{shown(node.value)!r} is not a valid {kind} ({shown(str(error))}); correct it"
            ) from None
        if kind in ("str", "timestamp", "value", "merge"):
            return text
        raise self.unknown_tag(node)

    def filled_in(self, node: yaml.ScalarNode) -> str:
        """The scalar's text with the values of variables; those that nobody sets stay as they are written."""

        def value(found: re.Match[str]) -> str:
            known = self.reader.variables.get(found[1], found[0] if found[2] is None else found[2])
            if len(known) > LONGEST_VARIABLE:
                raise self.refuse(node, f"the variable {shown(found[1])} has {len(known)} characters; shorten it")
            return known

        return VARIABLE.sub(value, node.value)

    def tagged(self, node: yaml.Node, depth: int) -> Any:
        tag, _, place = node.tag.partition(":")
        if tag not in TAGS or not isinstance(node, yaml.ScalarNode) or (place and tag != "!import"):
            raise self.unknown_tag(node)
        text = self.filled_in(node)
        if tag == "!ext":
            return self.name(text, node)
        if tag == "!path":
            return os.path.normpath(self.path.parent / text) if "\0" not in text else text
        if tag == "!cfg":
            return self.convert(self.find(self.root, text, node), depth + 1)
        target = self.importable(text, node)
        if target is None:
            self.reader.missing.append(text)
            stand_in = self.reader.stand_ins.get(Path(text).name)
            return self.pick(stand_in, place, node) if stand_in is not None else None
        return self.pick(self.reader.read(target, depth=depth + 1), place, node)

    def unknown_tag(self, node: yaml.Node) -> UserError:
        return self.refuse(
            node,
            f"the tag {shown(node.tag)!r} is not supported ({', '.join(TAGS)}), because nothing that a config names is "
            "run; write the value itself",
        )

    def name(self, value: Any, node: yaml.Node) -> str:
        """The dotted name of something of the packages."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value):
            raise self.refuse(node, f"{shown(value)!r} is not the dotted name of a class or function; correct it")
        if value.partition(".")[0] not in self.reader.packages:
            raise self.refuse(
                node,
                f"it calls {shown(value)}, which is unknown and never run; known are those of "
                f"{', '.join(self.reader.packages)}: write the result as plain values, or leave it out",
            )
        return value

    def find(self, here: yaml.Node | None, place: str, node: yaml.Node) -> yaml.Node:
        for key in filter(None, place.split(".")):
            if isinstance(here, yaml.MappingNode):
                here = next((value for name, value in here.value if name.value == key), None)
            elif isinstance(here, yaml.SequenceNode) and re.fullmatch(r"\d{1,5}", key):
                here = dict(enumerate(here.value)).get(int(key))
            else:
                here = None
            if here is None:
                raise self.refuse(node, f"!cfg {shown(place)} does not exist in this file; correct it")
        assert here is not None
        return here

    def pick(self, data: Any, place: str, node: yaml.Node) -> Any:
        for key in filter(None, place.split(".")):
            if not isinstance(data, dict) or key not in data:
                raise self.refuse(node, f"!import:{shown(place)} does not exist in the imported file; correct it")
            data = data[key]
        return data

    def importable(self, text: str, node: yaml.Node) -> Path | None:
        """The file of an import, if it is a YAML file of the config's own folder; none if it is not there.

        Symbolic links are followed before that is judged. A file beside that folder, as the published configs import
        theirs, may be missing, and is refused if it is there.
        """
        root = self.reader.root
        here = root or Path("/folder/folder")
        try:
            target = Path(os.path.normpath((self.path.parent if root else here) / text))
            target = target.resolve() if root else target
            if target.suffix in (".yaml", ".yml"):
                if root and target.is_relative_to(root) and target.is_file():
                    return target
                if target.is_relative_to(here.parent) and not (root and os.path.lexists(target)):
                    return None
        except (OSError, ValueError, RuntimeError):
            pass
        raise self.refuse(
            node,
            f"!import {shown(text)} must be a YAML file in or below {root or 'its folder'}; copy it there",
        )


def compose(text: str, name: str) -> yaml.Node | None:
    """
    Raises:
        UserError: it is no YAML.
    """
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except RecursionError:
        problem = "it is nested without end"
    except (yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
        problem = shown(" ".join(str(error).split()))
    raise UserError(f"{name} is not readable YAML ({problem}); correct it and try again.")


def read_text(path: Path) -> str:
    """
    Raises:
        UserError: it is not there, no text, or too long.
    """
    try:
        if path.stat().st_size > LONGEST_FILE or not path.is_file():
            raise UserError(
                f"{path} is not a file of at most {LONGEST_FILE // 1024} KB; give the config or command itself."
            )
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"Cannot read {path} ({shown(str(error))}); give a text file.") from None
