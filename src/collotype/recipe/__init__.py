"""Recipes: the typed schema, the built-in recipes, loading and overriding."""

from collotype.recipe.load import builtin_names, load_recipe, parse_recipe, recipe_text
from collotype.recipe.schema import Recipe

__all__ = ["Recipe", "builtin_names", "load_recipe", "parse_recipe", "recipe_text"]
