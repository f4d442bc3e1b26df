"""Packages whose public names are imported when they are used."""

import importlib
from collections.abc import Callable, Mapping


def lazy(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package: the attribute of that name, from its module.

    Args:
        modules: by public name, where it is defined.
    """

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(modules))}")
        return getattr(importlib.import_module(modules[name]), name)

    return find
