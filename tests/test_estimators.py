"""Fine-tuning in scikit-learn's manner: the model is the command's, and scikit-learn's own tools take it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_array

import myna
from myna import cli
from myna.errors import InputError
from myna.inference.loaded import load
from tests.tasks.material import encoder_folder

TEXTS = [f"{'好天气很好' if n % 2 else '不好小李说'}{n}" for n in range(60)]
LABELS = ["good" if n % 2 else "bad" for n in range(60)]
SHORT: dict[str, Any] = {"epochs": 6, "learning_rate": 1e-2, "batch_tokens": 128, "settings": {"threads": 1}}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(encoder_folder(tmp_path_factory.mktemp("models") / "encoder"))


@pytest.fixture(scope="module")
def classifier(encoder: str) -> myna.TextClassifier:
    return myna.TextClassifier(encoder, **SHORT).fit(TEXTS, LABELS)


class Column:
    """What is used of a column of a data frame."""

    def __init__(self, values: list[Any]) -> None:
        self.values, self.index, self.ndim = values, range(10, 10 + len(values)), 1

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


# ------------------------------------------------------------------------------------------------- what it learns


def test_the_model_is_that_of_the_command(classifier: Any, encoder: str, tmp_path: Path) -> None:
    """On the same rows and splits, to the bit."""
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    settings = ["epochs=6", "learning_rate=1e-2", "batch_tokens=128", "threads=1", "seed=1"]
    changes = [*settings, "corpus.examples.test=0", "corpus.examples.validation=10"]
    with pytest.raises(SystemExit) as ended:
        arguments = ["--model", encoder, "--train", str(train), "--to", str(tmp_path / "run")]
        cli.main(["finetune", "classification", *arguments, *(f"--set={change}" for change in changes)])
    assert ended.value.code == 0
    made = (tmp_path / "run/model/model.safetensors").read_bytes()
    assert made == classifier.model_files_["model.safetensors"]
    other = clone(classifier).set_params(seed=2).fit(TEXTS, LABELS)
    assert other.model_files_["model.safetensors"] != made


def test_what_is_plainly_there_is_learned(classifier: Any) -> None:
    assert classifier.classes_.tolist() == ["bad", "good"]
    assert classifier.validation_score_ == 1.0
    said, probabilities = classifier.predict(TEXTS), classifier.predict_proba(TEXTS)
    assert classifier.score(TEXTS, LABELS) == accuracy_score(LABELS, said) == 1.0
    assert probabilities.sum(1) == pytest.approx(1)
    assert classifier.classes_[probabilities.argmax(1)].tolist() == said.tolist()
    assert not hasattr(classifier, "n_features_in_")


@pytest.mark.parametrize("labels", [[10, 9], [2.5, -1.0], [True, False], ["乙", "B"]])
def test_labels_come_back_in_their_own_type_and_order(encoder: str, labels: list[Any]) -> None:
    """Sorted as NumPy sorts them: the model has "10" before "9"."""
    y = np.array([labels[n % 2] for n in range(60)])
    fitted = myna.TextClassifier(encoder, **SHORT, class_weights={labels[0]: 2.0}).fit(np.array(TEXTS, object), y)
    assert fitted.classes_.dtype == y.dtype
    assert fitted.classes_.tolist() == sorted(labels)
    assert (fitted.predict(TEXTS) == y).all()
    assert (fitted.classes_[fitted.predict_proba(TEXTS).argmax(1)] == y).all()


def test_columns_of_tables_and_arrays_are_as_lists(classifier: Any) -> None:
    for kind in (Column, lambda values: np.array(values, object)):
        assert clone(classifier).fit(kind(TEXTS), kind(LABELS)).model_files_ == classifier.model_files_
        assert (classifier.predict_proba(kind(TEXTS)) == classifier.predict_proba(TEXTS)).all()


def test_numbers_are_learned(encoder: str) -> None:
    values = np.array([4.5 if n % 2 else -2.0 for n in range(60)], np.float32)
    fitted = myna.TextRegressor(encoder, **{**SHORT, "epochs": 10}).fit(TEXTS, values)
    said = fitted.predict(TEXTS)
    assert fitted.score(TEXTS, values) == pytest.approx(r2_score(values, said))
    assert fitted.score(TEXTS, values) > 0.8


def test_words_have_their_tags(encoder: str) -> None:
    texts = [["老", "王", "在", "北", "京", str(n)] for n in range(30)]
    tags = [["O", "O", "O", "B-P", "I-P", "O"]] * 30
    tagger = myna.TokenTagger(encoder, **{**SHORT, "epochs": 10}).fit(texts, tags)
    assert tagger.classes_.tolist() == ["B-P", "I-P", "O"]
    assert tagger.predict(texts[:2]) == tags[:2]
    assert [each.shape for each in tagger.predict_proba([["王"], ["北", "京"]])] == [(1, 3), (2, 3)]
    assert tagger.score(texts, tags) == 1.0
    wrong = [["O", "O", "O", "B-P", "O", "O"]] * 30
    assert tagger.score(texts, wrong) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [myna.Summarizer, myna.Translator])
def test_texts_are_written(kind: Any, tmp_path: Path) -> None:
    """The same as the command writes; carried as any other."""
    texts, written = [f"{n} {n + 1}" for n in range(60)], ["好天气很好"] * 60
    writer = kind("bart-micro", epochs=4, batch_tokens=256, learning_rate=3e-3, settings={"threads": 1})
    writer.fit(texts, written)
    assert writer.predict(["3 4", "5 6"]) == ["好天气很好"] * 2
    assert writer.score(texts[:4], written[:4]) == pytest.approx(1)
    assert writer.score(texts[:4], ["王"] * 4) == pytest.approx(0, abs=0.01)
    writer.save(tmp_path / "saved")
    assert [each["text"] for each in load(tmp_path / "saved").predict(["3 4"])] == ["好天气很好"]
    for again in (pickle.loads(pickle.dumps(writer)), kind.load(tmp_path / "saved")):
        assert again.predict(["3 4"]) == ["好天气很好"]
    (tmp_path / "saved/estimator.json").unlink()
    other = next(each for each in (myna.Summarizer, myna.Translator) if each is not kind)
    with pytest.raises(InputError, match=f"saved: this model is for {kind.task}, which a {other.__name__} is not"):
        other.load(tmp_path / "saved")
    with pytest.raises(InputError, match="what is to be written of text 2 is empty; take both out"):
        writer.fit(["a", "b"], ["c", " "])


@pytest.mark.slow
def test_a_model_with_a_summarizer_within_is_carried_with_it(encoder: str, tmp_path: Path) -> None:
    sentences = [f"老王说{n}。江泽民在北京{n}。{'好天气很好' if n % 2 else '不好小李说'}。" for n in range(60)]
    rows = [{"text": text, "summary": f"{text.split('。')[2]}。"} for text in sentences]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit) as ended:
        arguments = ["--model", encoder, "--train", str(tmp_path / "train.jsonl"), "--to", str(tmp_path / "run")]
        cli.main(["finetune", "extraction", *arguments, "--set=epochs=1", "--set=threads=1", "--set=batch_tokens=256"])
    assert ended.value.code == 0
    settings = {"threads": 1, "read": "summary", "summarizer": str(tmp_path / "run/model")}
    fitted = myna.TextClassifier(encoder, epochs=1, batch_tokens=256, settings=settings).fit(sentences, LABELS)
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict_proba(sentences) == fitted.predict_proba(sentences)).all()


def test_pairs_are_two_texts(encoder: str) -> None:
    pairs = [(f"今天{n}", "好天气" if n % 2 else "不好") for n in range(60)]
    fitted = myna.TextClassifier(encoder, **SHORT).fit(pairs, LABELS)
    assert fitted.score(pairs, LABELS) == 1.0
    with pytest.raises(InputError, match="text 1 is str, and this model reads pairs; give pairs of texts, as tuples"):
        fitted.predict(TEXTS)


def test_other_texts_can_choose_the_best_epoch(classifier: Any) -> None:
    """Then no text of training is held out."""
    others = [f"{text}王" for text in TEXTS], LABELS
    fitted = clone(classifier).fit(TEXTS, LABELS, validation=others)
    assert json.loads(fitted.model_files_["myna.json"])["examples"] == 60
    assert 50 <= json.loads(classifier.model_files_["myna.json"])["examples"] < 60


# --------------------------------------------------------------------------------------- what is kept and carried


@pytest.mark.parametrize("carry", ["pickle", "joblib", "folder"])
def test_a_fitted_one_is_carried_whole(classifier: Any, tmp_path: Path, carry: str) -> None:
    if carry == "pickle":
        again = pickle.loads(pickle.dumps(classifier))
    elif carry == "joblib":
        joblib.dump(classifier, tmp_path / "a.joblib")
        again = joblib.load(tmp_path / "a.joblib")
    else:
        classifier.save(tmp_path / "saved")
        again = myna.TextClassifier.load(tmp_path / "saved")
    assert again.get_params() == classifier.get_params()
    assert again.classes_.dtype == classifier.classes_.dtype
    assert again.validation_score_ == classifier.validation_score_
    assert (again.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()


def test_a_saved_one_is_a_model_like_any_other(classifier: Any, tmp_path: Path) -> None:
    classifier.save(tmp_path / "saved")
    said = load(tmp_path / "saved").predict(TEXTS[:4])
    assert [each["label"] for each in said] == LABELS[:4]
    (tmp_path / "saved/estimator.json").unlink()
    again = myna.TextClassifier.load(tmp_path / "saved")
    assert (again.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()


def test_what_is_somebodys_own_is_never_replaced(classifier: Any, tmp_path: Path, monkeypatch: Any) -> None:
    saved, own = tmp_path / "saved", tmp_path / "own"
    own.mkdir()
    classifier.save(own)  # It is empty.
    for _ in range(2):
        classifier.save(saved)
    (saved / "notes.txt").write_text("mine")
    (own / "estimator.json").unlink()
    monkeypatch.chdir(saved)
    for place, what in ((saved, r"other files \(notes\.txt\)"), (Path(), "other files"), (own, "a model that no est")):
        with pytest.raises(InputError, match=f"this folder holds {what}.*; give the name of a new folder"):
            classifier.save(place)
    with pytest.raises(InputError, match=r"notes\.txt: this is a file, not a folder"):
        classifier.save(saved / "notes.txt")
    assert (saved / "notes.txt").read_text() == "mine"
    assert myna.TextClassifier.load(own).predict(TEXTS[:2]).tolist() == LABELS[:2]


def test_a_folder_of_another_estimator_or_damaged_is_a_line(classifier: Any, encoder: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    classifier.save(saved)
    with pytest.raises(InputError, match=r"saved: this is a TextClassifier, and no TokenTagger; use myna\.TextClass"):
        myna.TokenTagger.load(saved)
    (saved / "estimator.json").unlink()
    with pytest.raises(InputError, match="saved: this model is for classification, which a TextRegressor is not"):
        myna.TextRegressor.load(saved)
    with pytest.raises(InputError, match="encoder: this is a language model"):
        myna.TextClassifier.load(encoder)
    (saved / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"saved/model\.safetensors: this file has 0 bytes"):
        myna.TextClassifier.load(saved)


def test_importing_myna_imports_neither_torch_nor_scikit_learn() -> None:
    code = "import sys, myna\nassert 'TextClassifier' in dir(myna)\nprint({'torch', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_it_is_silent_and_leaves_no_folder(
    classifier: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    clone(classifier).fit(TEXTS, LABELS)
    assert capfd.readouterr() == ("", "")
    clone(classifier).set_params(verbose=True).fit(TEXTS, LABELS)
    assert "finetune.classification: done" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.fit("text", LABELS), "texts are str; give a list, with one for each text"),
        (lambda c: c.fit(np.array([TEXTS]), LABELS), "texts have 2 dimensions; give one column"),
        (lambda c: c.fit(TEXTS, LABELS[1:]), "there are 60 texts and 59 labels; give one label for each text"),
        (lambda c: c.fit([*TEXTS[:3], " "], LABELS[:4]), "text 4 of 4 is empty; take it out"),
        (lambda c: c.fit([*TEXTS[:3], None], LABELS[:4]), "text 4 of 4 is no text but NoneType"),
        (
            lambda c: c.fit(["\u200b", *TEXTS], ["a", *LABELS]),
            "text 1: the text of this row is empty; take the row out",
        ),
        (lambda c: c.fit(TEXTS, ["odd", *LABELS[1:]]), "text 1: 'odd' has this one example; add examples of it"),
        (lambda c: c.fit(TEXTS, [None] * 60), "a label is None; give each text a string or a number"),
        (lambda c: c.fit(TEXTS, ["a", 1] * 30), "labels are of several types; give all as strings, or all as numbers"),
        (
            lambda c: c.fit(TEXTS, ["a"] * 60),
            "the texts: every example has the label 'a'; add examples of another label",
        ),
        (lambda c: c.set_params(model="bert-mikro").fit(TEXTS, LABELS), "model: 'bert-mikro' is neither a model's"),
        (lambda c: c.set_params(settings={"epoch": 2}).fit(TEXTS, LABELS), 'epoch=2: there is no key "epoch" in'),
        (
            lambda c: c.set_params(settings={"track": object}).fit(TEXTS, LABELS),
            "track is <class 'object'>, which is no",
        ),
        (lambda c: c.set_params(class_weights={"no": 2.0}).fit(TEXTS, LABELS), "class_weights has 'no', which is no"),
        (lambda c: c.set_params(validation_fraction=0).fit(TEXTS, LABELS), "validation_fraction is 0; give 0.01"),
        (
            lambda c: c.fit(TEXTS, LABELS, validation=(["好王"], ["new"])),
            "validation text 1: training has no example of",
        ),
        (lambda c: c.fit([("a", "b", "c")] * 60, LABELS), "text 1 is a tuple of 3; give two texts, or a list of words"),
        (lambda c: myna.TextRegressor().fit(TEXTS, LABELS), "a value is 'bad', not a number; give each text a number"),
        (lambda c: myna.TextRegressor().fit(TEXTS, [np.nan] * 60), 'text 1: "value" is NaN, not a number'),
        (lambda c: myna.TokenTagger().fit([["a"]], [["n", "v"]]), "text 1 has 1 words and 2 tags; give each one tag"),
        (lambda c: myna.TokenTagger().fit(["a"], [["n"]]), "text 1 is no list of words; cut it into words"),
    ],
)
def test_bad_input_is_a_line(encoder: str, call: Callable[[Any], Any], error: str) -> None:
    with pytest.raises(InputError) as raised:
        call(myna.TextClassifier(encoder, settings={"threads": 1}))
    assert str(raised.value).startswith(error)


def test_what_the_model_does_not_read(classifier: Any) -> None:
    with pytest.raises(InputError, match="text 1 is list, and this model reads texts; give strings"):
        classifier.predict([["a", "b"]])
    with pytest.raises(NotFittedError):
        myna.TextClassifier().predict(TEXTS)


# --------------------------------------------------------------------------------------------- scikit-learn's tools


def test_a_pipeline_with_a_grid_search(encoder: str) -> None:
    narrow = FunctionTransformer(lambda texts: [text.replace("不好", "好") for text in texts])
    pipeline = make_pipeline(narrow, myna.TextClassifier(encoder, **SHORT))
    grid = {"functiontransformer__func": [narrow.func, None], "textclassifier__learning_rate": [1e-2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_score_ == 1.0
    assert search.predict(TEXTS[:2]).tolist() == LABELS[:2]
    tagger = myna.TokenTagger(encoder, epochs=1, batch_tokens=32, settings={"threads": 1})
    words, tags = [["老", "王", str(n)] for n in range(24)], [["n", "n", "m"]] * 24
    assert len(GridSearchCV(tagger, {"seed": [1]}, cv=2, error_score="raise").fit(words, tags).predict(words)) == 24


def test_cross_validated_probabilities_stand_in_the_order_of_the_classes(encoder: str) -> None:
    y = np.array([10 if n % 2 else 9 for n in range(60)])
    found = cross_val_predict(myna.TextClassifier(encoder, **SHORT), TEXTS, y, cv=2, method="predict_proba")
    assert (np.array([9, 10])[found.argmax(1)] == y).all()


ESTIMATORS = [myna.TextClassifier, myna.TextRegressor, myna.TokenTagger, myna.Summarizer, myna.Translator]
# Checks of scikit-learn that give no data to an estimator.
WITHOUT_DATA = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]
# Checks whose numbers are made texts of.
WITH_DATA = [
    "check_fit_score_takes_y",
    "check_estimators_overwrite_params",
    "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self",
    "check_dict_unchanged",
    "check_estimators_pickle",
    "check_methods_subset_invariance",
    "check_methods_sample_order_invariance",
    "check_fit_idempotent",
    "check_estimators_unfitted",
    "check_fit_check_is_fitted",
    "check_pipeline_consistency",
]
OF_CLASSIFIERS = ["check_classifiers_classes"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("check", WITHOUT_DATA)
def test_checks_of_scikit_learn_without_data(estimator: type, check: str) -> None:
    getattr(estimator_checks, check)(estimator.__name__, estimator())


class NumbersAsTexts:
    """Makes a text of each row of numbers, as scikit-learn's checks have them."""

    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(_texts(X), y)  # type: ignore[misc]

    def predict(self, X: Any) -> Any:
        return super().predict(_texts(X) if hasattr(self, "model_files_") else ["a"])  # type: ignore[misc]


def _texts(X: Any) -> list[str]:
    return [" ".join(f"{number:.3f}" for number in row) for row in check_array(X, dtype=None)]


class NumericClassifier(NumbersAsTexts, myna.TextClassifier):
    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(X if isinstance(X[0], str) else _texts(X))


class NumericRegressor(NumbersAsTexts, myna.TextRegressor):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "check"),
    [(each, check) for each in (NumericClassifier, NumericRegressor) for check in WITH_DATA]
    + [(NumericClassifier, check) for check in OF_CLASSIFIERS],
)
def test_checks_of_scikit_learn_with_texts_for_its_numbers(encoder: str, estimator: Any, check: str) -> None:
    made = estimator(encoder, epochs=1, settings={"steps": 2, "threads": 1})
    getattr(estimator_checks, check)(estimator.__name__, made)
