"""The commands of a shell script with the words that bash would give them; parsed, never run.

The grammar is tree-sitter's (`tree_sitter_bash`); what the words mean is decided here: `reader` goes through the
statements, `expansion` makes words of nodes. What only a run knows (`$(nproc)`, a variable that the text does not set)
stays in a word as it is written, and the word says so.
"""

from collotype.importers.shell.reader import ShellCommand, commands_of
from collotype.importers.shell.words import ShellWord

__all__ = ["ShellCommand", "ShellWord", "commands_of"]
