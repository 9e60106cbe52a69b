"""The n-gram models are codes: their shares add up to one, and their bits are what the formula says."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myna.evaluation import ngrams
from myna.evaluation.ngrams import UNIFORM_SHARE, CharacterNgrams

texts = st.lists(st.text("abc你好\n😀", max_size=12), max_size=8)


@given(texts, st.text("abc你x", max_size=4), st.sampled_from([1, 2, 3, 5]))
@settings(deadline=None, max_examples=60)
def test_the_alphabet_the_unseen_and_the_end_add_up_to_one(training: list[str], history: str, order: int) -> None:
    alphabet, unseen, end = CharacterNgrams(order, training).following(history)
    assert set(alphabet) == set("".join(training))
    assert sum(alphabet.values()) + unseen + end == pytest.approx(1, rel=1e-12)
    assert min(alphabet.values(), default=1) >= UNIFORM_SHARE * 0.999 / (1 + 100)


@given(texts, texts, st.sampled_from([1, 2, 3]))
@settings(deadline=None, max_examples=60)
def test_bits_are_those_of_the_formula_written_out(training: list[str], judged: list[str], order: int) -> None:
    counts: Counter[tuple[str, ...]] = Counter()
    for text in training:
        line = ["<"] * 4 + [*text, ">"]
        for place in range(4, len(line)):
            for length in range(order):
                counts[tuple(line[place - length : place + 1])] += 1

    def probability(history: tuple[str, ...], character: str) -> float:
        shorter = UNIFORM_SHARE if not history else probability(history[1:], character)
        behind = [n for key, n in counts.items() if key[:-1] == history and len(key) == len(history) + 1]
        if not behind:
            return shorter
        return (counts[(*history, character)] + len(behind) * shorter) / (sum(behind) + len(behind))

    found = CharacterNgrams(order, training).bits(judged)
    for text, bits in zip(judged, found, strict=True):
        line = ["<"] * 4 + [*text, ">"]
        steps = range(4, len(line))
        wanted = -sum(math.log2(probability(tuple(line[i - order + 1 : i]), line[i])) for i in steps)
        assert bits == pytest.approx(wanted)


def test_parts_do_not_change_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    training = ["北京的天气很好", "", "上海的天气也好", "天"] * 3
    judged = ["今天北京很好", "", "上"]
    whole = CharacterNgrams(3, training).bits(judged)
    monkeypatch.setattr(ngrams, "_GATHER", 10)
    assert CharacterNgrams(3, iter(training)).bits(judged).tolist() == whole.tolist()


def test_a_longer_history_helps_where_it_tells_more() -> None:
    training = ["abcabdabc" * 20] * 3
    bits = [CharacterNgrams(order, training).bits(["abcabdabc" * 3])[0] for order in (1, 2, 3)]
    assert bits[0] > bits[1] > bits[2]


def test_an_unseen_character_costs_its_uniform_share() -> None:
    model = CharacterNgrams(1, ["ab", "ab"])
    # Six symbols of three kinds were seen (a, b, the end): a share 3 / 9 is left to all that may be.
    assert model.bits(["字"])[0] == pytest.approx(
        -math.log2(3 / 9 * UNIFORM_SHARE) - math.log2((2 + 3 * UNIFORM_SHARE) / 9)
    )


def test_only_orders_of_one_to_six_are_taken() -> None:
    for order in (0, 7):
        with pytest.raises(ValueError, match="order"):
            CharacterNgrams(order, [])
