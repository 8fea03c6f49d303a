"""Which files below a shared folder are shared."""

import time

import pytest

from pirate.policy.rules import Rules, pattern

FILES = (
    "a.iso",
    "a.tmp",
    "logs",
    "images/b.iso",
    "images/logs/1",
    "images/old/c.iso",
    "images/old/x/y/d.iso",
    "logs.d/2",
    "sub/images/e.iso",
    "[1]/f",
    "1/g",
)


def shared(rules: Rules, *files: str) -> set[str]:
    """What a walk finds of these files, folder by folder."""

    def walked(path: str) -> bool:
        *folders, name = path.split("/")
        return rules.shares(path, name) and all(
            rules.enters("/".join(folders[: depth + 1]), folder)
            for depth, folder in enumerate(folders)
        )

    return {path for path in files if walked(path)}


# A pattern, and what it stands for.
MEANS = {
    "*.iso": {path for path in FILES if path.endswith(".iso")},
    "a.*": {"a.iso", "a.tmp"},
    "?.tmp": {"a.tmp"},
    "/*.iso": {"a.iso"},
    "logs": {"logs", "images/logs/1"},
    "logs/": {"images/logs/1"},
    "/logs": {"logs"},
    "images": {path for path in FILES if "images/" in path},
    "/images/": {path for path in FILES if path.startswith("images/")},
    "images/*.iso": {"images/b.iso"},
    "images/*": {path for path in FILES if path.startswith("images/")},
    "images/**": {path for path in FILES if path.startswith("images/")},
    "images/**/d.iso": {"images/old/x/y/d.iso"},
    "images/**/b.iso": {"images/b.iso"},
    "images/*/*.iso": {"images/old/c.iso"},
    "**/images/*.iso": {"images/b.iso", "sub/images/e.iso"},
    "**": set(FILES),
    "*": set(FILES),
    "[!a]*.iso": {"images/b.iso", "images/old/c.iso", "images/old/x/y/d.iso", "sub/images/e.iso"},
    "images[!x]b.iso": set(),  # a set is never a slash
    "[[]1]": {"[1]/f"},
    "[1]": {"1/g", "images/logs/1"},
    "A.ISO": set(),
    "iso": set(),
}


@pytest.mark.parametrize("text", MEANS)
def test_a_pattern_means_what_the_manual_says(text: str) -> None:
    assert pattern(text) == text
    assert shared(Rules([text]), *FILES) == MEANS[text]
    assert shared(Rules((), [text]), *FILES) == set(FILES) - MEANS[text]


def test_one_of_several_patterns_is_enough_and_an_exclusion_beats_them() -> None:
    rules = Rules(["*.iso", "*.tmp"], ["/images/", "b*"])
    assert shared(rules, *FILES) == {"a.iso", "a.tmp", "sub/images/e.iso"}


def test_all_folders_are_walked_for_what_is_included_but_excluded_ones() -> None:
    rules = Rules(["*.iso"], ["node_modules/", "cache"])
    assert not rules.enters("a/node_modules", "node_modules")
    assert not rules.enters("cache", "cache")
    assert rules.enters("images", "images")


def test_what_is_hidden_is_shared_only_if_the_user_says_so() -> None:
    files = (".profile", ".git/config", "a/.b/c", "d")
    assert shared(Rules(), *files) == {"d"}
    assert shared(Rules([".profile", "config"]), *files) == set()
    assert shared(Rules(hidden=True), *files) == set(files)
    assert shared(Rules((), [".git/"], hidden=True), *files) == set(files) - {".git/config"}


def test_names_may_have_any_characters() -> None:
    odd = ("new\nline.iso", "caf\udce9.iso", "a.iso\n")
    assert shared(Rules(["*.iso"]), *odd) == set(odd[:2])
    assert shared(Rules(["caf\udce9*", "new?line*"]), *odd) == set(odd[:2])


def test_a_name_that_was_made_to_cost_time_does_not() -> None:
    rules = Rules((), ["*.a*.b*.c", "**/x/**/y/**/z"])
    began = time.process_time()
    rules.shares(".a.b" * 60, ".a.b" * 60)
    rules.shares("x/y/" * 32 + "a", "a")
    assert time.process_time() - began < 1.0
