#!/usr/bin/env bash
# tree-sitter-bash: the space between two expansions in one pair of double quotes has no node of its own. It is the first
# byte of the second expansion, so that putting together the texts of a string's parts by kind ("$A" + "$B") loses it,
# while before a word it is part of the string's text.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check tree-sitter==0.26.1 tree-sitter-bash==0.25.1
"$scratch/venv/bin/python" - <<'EOF'
from importlib.metadata import version

import tree_sitter_bash
from tree_sitter import Language, Parser

print("tree-sitter", version("tree-sitter"), "tree-sitter-bash", version("tree-sitter-bash"))
parser = Parser(Language(tree_sitter_bash.language()))


def parts(source):
    """Kinds and texts of what stands between the quotes."""
    string = parser.parse(source).root_node.children[0].children[1]
    assert string.type == "string", string.type
    return [(part.type, part.text) for part in string.children if part.type != '"']


expansions, word = parts(b'echo "$A $B"'), parts(b'echo "$A b"')
print('"$A $B" ->', expansions)
print('"$A b"  ->', word)
assert expansions == [("simple_expansion", b"$A"), ("simple_expansion", b" $B")]
assert word == [("simple_expansion", b"$A"), ("string_content", b" b")]
EOF
