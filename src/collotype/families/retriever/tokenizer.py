"""Word vocabularies of small models, made from their training queries; checkpoints bring their own tokenizer."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from collotype.families.retriever.preset import IMAGE

UNKNOWN = "<unk>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MAX_WORDS = 8192
"""Words of an open vocabulary that are a token each; the rest is spelled."""


def word_tokenizer(texts: Iterable[str], special_tokens: Sequence[str]) -> Tokenizer:
    """A lower-case word vocabulary of the special tokens and then exactly the words and marks in `texts`, in
    alphabetical order."""
    vocabulary = numbered([*special_tokens, *sorted(count_words(texts, special_tokens))])
    return lower_case_tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN), special_tokens)


def spelling_tokenizer(texts: Iterable[str], frame: Iterable[str], special_tokens: Sequence[str]) -> Tokenizer:
    """A lower-case vocabulary to which no word is unknown: those of `frame`, and the most common words of `texts` that
    occur more than once, are a token each, other words are spelled in the characters of `texts`, other characters in
    UTF-8 bytes."""
    counts, kept = count_words(texts, special_tokens), set(count_words(frame, special_tokens))
    common = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
    characters = {character for word in counts for character in word}
    vocabulary = numbered([*special_tokens, *BYTES, *sorted(characters | kept | set(common[:MAX_WORDS]))])
    spelling = models.BPE(vocabulary, [], unk_token=UNKNOWN, byte_fallback=True, ignore_merges=True)
    return lower_case_tokenizer(spelling, special_tokens)


def count_words(texts: Iterable[str], special_tokens: Sequence[str]) -> Counter[str]:
    """How often each lower-case word or mark stands in `texts`, special tokens apart."""
    special = re.compile("|".join(map(re.escape, [IMAGE, *special_tokens])))
    split = pre_tokenizers.Whitespace().pre_tokenize_str
    return Counter(word for text in texts for word, _ in split(special.sub(" ", text).lower()))


def numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def lower_case_tokenizer(model: models.Model, special_tokens: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special_tokens])
    return tokenizer
