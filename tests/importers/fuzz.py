"""Mutated configs and commands, and a watch on what importing them does.

python -m tests.importers.fuzz --inputs 10000 --seed 0
"""

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collotype.importers import Imported, import_foreign
from collotype.importers.shell import commands_of
from collotype.runtime.errors import UserError

HERE = Path(__file__).parent
SUFFIXES = (".yaml", ".yml", ".sh", ".slurm", ".json", ".md", ".txt")
SEEDS = sorted(file for file in HERE.rglob("*") if file.suffix in SUFFIXES)
HOSTILE = (
    "!!python/object/apply:os.system [touch /tmp/x]",
    "!!python/name:os.system",
    "!!binary aGk=",
    "(): os.system",
    "!ext subprocess.run",
    "!path /etc/passwd",
    "!import ../../../../etc/passwd.yaml",
    "!import:config ../configs/pali/train_colpali_model.yaml",
    "!cfg config",
    "${HOME}",
    "&a [*a, *a]",
    "<<: *a",
    "$(touch /tmp/x)",
    "`id`",
    "| sh",
    "> /tmp/x",
    "\x00",
    "\ud800",
    "{" * 300,
    "[[[[[[[[[[",
    "9" * 5000,
    "-1",
    "1e400",
    ".nan",
    "0x" + "f" * 400,
    "'",
    '"',
    "\\",
    "--",
    "--opt_betas",
    "--batch-size -3",
    "\n",
    "\t- a: b\n",
    "null",
    "true",
    "",
    'eval "$(touch /tmp/x)"; ',
    "bash -c 'bash -c \"touch /tmp/x\"' ",
    'f() { f "$@" x; }; f 1; ',
    "while :; do X+=$X; done; ",
    "for i in {1..99999}; do for j in {1..99999}; do A+=(x); done; done; ",
    "for a in {1..60}; do for b in {1..60}; do for c in {1..60}; do ls; done; done; done; ",
    "{1..999999999}{1..999999999}{a,b}{a,b}{a,b}{a,b}",
    "$((9**9**9**9))",
    "$((1/0)) $((1<<99999))",
    "${X:=$X$X$X}",
    "${A[@]} ${A[99999999999]} ${A[-1]} ${#A[@]} ${!A}",
    "${1:-${2:-${3:-x}}}",
    "A=(1 2 3); A+=(4); A[1]=x; ",
    "cat <<EOF > job.sh\nbash job.sh\nEOF\nbash job.sh\n",
    'sbatch --array=0-9 --wrap="srun python x.py" ',
    "#SBATCH --nodes=4 --ntasks-per-node=8\n",
    "if [ $1 = x ]; then exit; fi; ",
    "case $X in a) A=1;; *) exit;; esac; ",
    'set -- "$@" --lr 1; shift 99; ',
    "<<EOF",
    "((",
    "[[ ",
    "$(( ",
    "${",
    "&&",
    "esac",
    "$'\\x41'",
    "<(ls)",
)
WATCHED = re.compile(
    r"exec|subprocess\.|os\.(exec|fork|forkpty|posix_spawn|spawn|system|startfile|remove|rename|mkdir|rmdir|chmod|putenv)"
    r"|socket\.(connect|bind|sendto|getaddrinfo)|urllib\.|shutil\.|pty\.|ctypes\.dlopen|marshal\.|pickle\."
)
NAMED = re.compile(r"colpali_engine|torch|peft|datasets|transformers|configue|open_clip")
found: list[str] = []
watching = False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Notes what an import of text has no business to do. A hook cannot be taken away, so it sleeps between watches."""
    if not watching:
        return
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        found.append(f"open {arguments[0]!r} {arguments[1]}")
    elif event == "import" and NAMED.match(str(arguments[0])):
        found.append(f"import {arguments[0]}")
    elif WATCHED.fullmatch(event) or (event != "exec" and WATCHED.match(event)):
        found.append(f"{event} {str(arguments)[:200]}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """What the block did that only running a foreign text would do."""
    global watching
    if watch not in installed:
        sys.addaudithook(watch)
        installed.append(watch)
    found.clear()
    watching = True
    try:
        yield found
    finally:
        watching = False


installed: list[object] = []


def mutated(text: str, others: list[str], draw: random.Random) -> str:
    """The text with a few bytes, words or lines changed, moved, doubled, taken from another text or made hostile."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        pieces = draw.choice((re.findall(r"\s+|\w+|[^\w\s]", text), text.splitlines(keepends=True), list(text)))
        if not pieces:
            return draw.choice(HOSTILE)
        place = draw.randrange(len(pieces))
        kind = draw.randrange(7)
        if kind == 0:
            del pieces[place]
        elif kind == 1:
            pieces[place] = draw.choice(HOSTILE)
        elif kind == 2:
            pieces.insert(place, draw.choice(HOSTILE))
        elif kind == 3:
            pieces[place] *= draw.choice((2, 3, 50))
        elif kind == 4:
            other = draw.randrange(len(pieces))
            pieces[place], pieces[other] = pieces[other], pieces[place]
        elif kind == 5:
            foreign = re.findall(r"\S+", draw.choice(others))
            pieces[place] = draw.choice(foreign)
        else:
            pieces[place] = "".join(chr(max(1, ord(sign) ^ 1 << draw.randrange(8))) for sign in pieces[place])
        text = "".join(pieces)[:60_000]
    return text


def fuzz(inputs: int, seed: int, folder: Path) -> Counter[str]:
    """Imports that many mutations, half of them as files in `folder`, beside the files they import.

    Returns:
        how many were imported and how many refused.

    Raises:
        AssertionError: one did what it must not; any other exception of the import is one of ours.
    """
    draw = random.Random(seed)
    commands_of("")  # our own modules are imported once, before anything is watched
    texts = {file: file.read_text() for file in SEEDS}
    for text in texts.values():
        with suppress(UserError):
            import_foreign(text)
    for file, text in texts.items():
        target = folder / file.relative_to(HERE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    counts: Counter[str] = Counter()
    longest = 0.0
    for number in range(inputs):
        file = draw.choice(SEEDS)
        text = mutated(texts[file], list(texts.values()), draw)
        source: str | Path = text
        if number % 2:
            source = (folder / file.relative_to(HERE)).with_stem("mutated")
            source.write_bytes(text.encode("utf-8", "surrogatepass"))
        start = time.process_time()
        with watched() as did:
            try:
                imported = import_foreign(source)
                assert isinstance(imported, Imported)
                counts["imported"] += 1
            except UserError as error:
                assert "\n" not in str(error), f"input {number}: more than a sentence: {error}"
                counts["refused"] += 1
            except Exception as error:
                error.add_note(f"input {number} of {file.name} (seed {seed}): {text[:2000]!r}")
                raise
        longest = max(longest, time.process_time() - start)
        assert not did, f"input {number} of {file.name} (seed {seed}) did {did}: {text[:2000]!r}"
    counts["milliseconds of the longest"] = round(1000 * longest)
    return counts


if __name__ == "__main__":
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        outcome = fuzz(asked.inputs, asked.seed, Path(scratch))
    print(f"{dict(outcome)}, nothing run, {time.process_time() - start:.0f} s of CPU time")
