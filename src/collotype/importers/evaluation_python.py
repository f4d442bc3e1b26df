"""Calls of mteb in Python code, found by parsing; nothing is run."""

import ast
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)(\w{1,40})\1")


def without_heredocs(text: str) -> tuple[str, list[str]]:
    """A script without the here-documents that are fed to its commands, and these."""
    lines = text.replace("\r\n", "\n").split("\n")
    ends: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        ends.setdefault(line.strip(), []).append(number)
    script, bodies, at = [], [], 0
    while at < len(lines):
        script.append(lines[at])
        opened = HEREDOC.search(lines[at])
        known = ends.get(opened[2], []) if opened else []
        place = bisect_right(known, at)
        if place < len(known):
            bodies.append("\n".join(lines[at + 1 : known[place]]))
            script[-1] = HEREDOC.sub("", lines[at])
            at = known[place]
        at += 1
    return "\n".join(script), bodies


def asked_of_mteb(text: str) -> Iterator[dict[str, Any]]:
    """What a Python program asks mteb for, as its command would."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    known = constants(tree)
    named: dict[str, list[str]] = {}
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        texts = [text for one in (*call.args, *(word.value for word in call.keywords)) for text in texts_of(one, known)]
        named.setdefault(name, []).extend(texts)
        for word in call.keywords:
            if word.arg == "encode_kwargs":
                named["batch"] = [str(size) for size in batch_sizes(word.value)]
    models = named.get("get_model", []) or named.get("get_model_meta", [])
    benchmarks = named.get("get_benchmark", []) + named.get("get_benchmarks", [])
    tasks = [name for name in named.get("get_tasks", []) + named.get("get_task", []) if "vidore" in name.lower()]
    if models and (benchmarks or tasks):
        given: dict[str, Any] = {"--model": models[0]}
        given |= {"--benchmarks": benchmarks} if benchmarks else {}
        given |= {"--tasks": tasks} if tasks else {}
        given |= {"--batch-size": named["batch"][0]} if named.get("batch") else {}
        yield given


def constants(tree: ast.Module) -> dict[str, list[str]]:
    """Texts by the names they are assigned to."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and (texts := texts_of(node.value, {})):
                    found[target.id] = texts
    return found


def texts_of(node: ast.expr, known: Mapping[str, list[str]]) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Name):
        return known.get(node.id, [])
    if isinstance(node, ast.List | ast.Tuple):
        return [text for one in node.elts for text in texts_of(one, known)]
    return []


def batch_sizes(node: ast.expr) -> list[object]:
    pairs = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
    return [
        value.value
        for key, value in pairs
        if isinstance(key, ast.Constant) and key.value == "batch_size" and isinstance(value, ast.Constant)
    ]
