"""Shifts: how they are written, and what they do to examples and labels."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.core import corruption, disturbance
from mlops.core.drill import known_shifts, parse_shift, severity, signs, targets
from mlops.core.schema import UNKNOWN_CATEGORY, Column, ImageSchema, TableSchema, TextSchema
from mlops.core.shifted import relabelled, shifted
from mlops.errors import EXIT_USAGE, UsageError

IMAGES = ImageSchema(("zero", "one"), 8, 8, 1)
TABLE = TableSchema(
    ("no", "yes"),
    (Column("age", "number"), Column("hours", "number"), Column("work", "category", ("a", "b"))),
)
NUMBERS = TableSchema((), TABLE.columns)
TEXTS = TextSchema(("ham", "spam"), 32)
SPREAD = np.array([2.0, 10.0, 0.0])

WRONG = [
    ("fog", IMAGES, "no strength; write NAME:STRENGTH, as in blur:0.4; known: blur, noise"),
    ("haze:0.4", IMAGES, "'haze' is unknown for images; one of: blur, noise, contrast"),
    ("fog:0.4", TABLE, "'fog' is unknown for tables; one of: shift, scale, missing"),
    ("fog:0", IMAGES, "the strength '0' is none; write a number: 0 to 1"),
    ("fog:1.5", IMAGES, "the strength '1.5' is none"),
    ("fog:much", IMAGES, "the strength 'much' is none"),
    ("fog:nan", IMAGES, "the strength 'nan' is none"),
    ("fog@sky:0.4", IMAGES, "fog cannot be about 'sky'; write fog:0.4"),
    ("scale:1", TABLE, "the strength '1' is none; write a number: the factor"),
    ("scale:-2", TABLE, "the strength '-2' is none"),
    ("shift:0", TABLE, "the strength '0' is none; write a number: standard deviations"),
    ("shift@work:1", TABLE, "shift cannot be about 'work'; one of: age, hours"),
    ("novel@age:0.5", TABLE, "novel cannot be about 'age'; one of: work"),
    ("mix@maybe:0.5", TABLE, "mix cannot be about 'maybe'; one of: no, yes"),
    ("mix:0.5", NUMBERS, "'mix' is unknown for tables"),
]


@pytest.mark.parametrize(("text", "schema", "said"), WRONG)
def test_what_is_wrong_is_named_with_what_is_known(
    text: str, schema: ImageSchema | TableSchema, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_shift(text, schema)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"--shift {text}: ")
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("schema", [IMAGES, TABLE, NUMBERS, TEXTS])
def test_every_known_shift_can_be_written_and_changes_something(
    schema: ImageSchema | TableSchema | TextSchema,
) -> None:
    features, labels = _rows(schema), np.array([0, 1] * 20)
    for known in known_shifts(schema):
        made = parse_shift(f"{known.name}:0.6", schema)
        assert made.text == f"{known.name}:0.6"
        assert known.words in made.words
        assert signs(made, schema)
        rng = np.random.default_rng(0)
        after = shifted(features, schema, made, SPREAD, rng)
        assert (after.dtype, after.shape) == (features.dtype, features.shape)
        truth = relabelled(labels, len(schema.classes), made, 1.0, rng)
        same = np.array_equal(after, features, equal_nan=after.dtype.kind == "f")
        assert same == (known.name in ("mix", "concept"))
        assert np.array_equal(truth, labels) == (known.name != "concept")
        again = shifted(features, schema, made, SPREAD, np.random.default_rng(0))
        assert np.array_equal(after, again, equal_nan=after.dtype.kind == "f")
        assert len(shifted(features[:0], schema, made, SPREAD, rng)) == 0


def test_fog_at_two_fifths_is_severity_two() -> None:
    features, made = _rows(IMAGES), parse_shift("fog:0.4", IMAGES)
    found = shifted(features, IMAGES, made, SPREAD, np.random.default_rng(3))
    wanted = corruption.corrupt(features, "fog", 2, np.random.default_rng(3))
    assert np.array_equal(found, wanted)
    assert "severity 2 of 5" in made.words
    assert [severity(s) for s in (0.01, 0.2, 0.21, 0.8, 1.0)] == [1, 1, 2, 4, 5]


def test_noise_of_a_table_is_the_disturbance() -> None:
    features = _rows(TABLE)
    found = shifted(features, TABLE, parse_shift("noise:1", TABLE), SPREAD, _rng())
    assert np.array_equal(
        found, disturbance.disturb(features, TABLE, "noise", 5, _rng()), equal_nan=True
    )


def test_one_column_of_a_table_moves_and_the_others_stay() -> None:
    row_ND = _rows(TABLE)
    moved = shifted(row_ND, TABLE, parse_shift("shift@age:-0.5", TABLE), SPREAD, _rng())
    assert np.allclose(moved[:, 0], row_ND[:, 0] - 1.0)
    assert np.array_equal(moved[:, 1:], row_ND[:, 1:])
    scaled = shifted(row_ND, TABLE, parse_shift("scale@hours:2", TABLE), SPREAD, _rng())
    assert np.allclose(scaled[:, 1], row_ND[:, 1] * 2)
    every = shifted(row_ND, TABLE, parse_shift("shift:1", TABLE), SPREAD, _rng())
    assert np.allclose(every - row_ND, [2.0, 10.0, 0.0])
    gone = shifted(row_ND, TABLE, parse_shift("missing@work:1", TABLE), SPREAD, _rng())
    assert np.isnan(gone[:, 2]).all()
    assert np.array_equal(gone[:, :2], row_ND[:, :2])
    new = shifted(row_ND, TABLE, parse_shift("novel:1", TABLE), SPREAD, _rng())
    assert (new[:, 2] == UNKNOWN_CATEGORY).all()


def test_texts_end_early_or_hold_words_that_nobody_knows() -> None:
    texts = _rows(TEXTS)
    half = shifted(texts, TEXTS, parse_shift("truncate:0.5", TEXTS), SPREAD, _rng())
    assert half[0].tobytes().rstrip(b"\0") == b"Hello th"
    made = shifted(texts, TEXTS, parse_shift("unknown:1", TEXTS), SPREAD, _rng())
    text = made[0].tobytes().rstrip(b"\0").decode()
    assert [len(word) for word in text.split()] == [5, 5, 4]
    assert text[0].isupper()
    assert text[1:5].islower()
    assert set(text.lower()) <= set("qxzjkvw 42!")


def test_the_truth_moves_by_class_or_by_number() -> None:
    labels = np.array([0, 1, 1, 0] * 50)
    every = relabelled(labels, 2, parse_shift("concept:1", TABLE), 0.0, _rng())
    assert np.array_equal(every, 1 - labels)
    some = relabelled(labels, 2, parse_shift("concept:0.3", TABLE), 0.0, _rng())
    assert 0.2 < (some != labels).mean() < 0.4
    numbers = relabelled(labels * 1.0, 0, parse_shift("concept:-2", NUMBERS), 1.5, _rng())
    assert np.allclose(numbers, labels - 3.0)


def test_a_shift_of_a_column_is_recognised_by_the_column() -> None:
    assert signs(parse_shift("shift@age:1", TABLE), TABLE) == ("age",)
    assert signs(parse_shift("shift:1", TABLE), TABLE) == ("age", "hours")
    assert "contrast" in signs(parse_shift("fog:1", IMAGES), IMAGES)
    assert signs(parse_shift("mix@yes:1", TABLE), TABLE) == ("mix", "predicted")
    known = {k.name: targets(k, TABLE) for k in known_shifts(TABLE)}
    assert known["missing"] == ("age", "hours", "work")
    assert known["swap"] == ()


def _rng() -> np.random.Generator:
    return np.random.default_rng(5)


def _rows(schema: ImageSchema | TableSchema | TextSchema) -> np.ndarray:
    rng = np.random.default_rng(1)
    if isinstance(schema, ImageSchema):
        return rng.integers(0, 256, (40, *schema.shape), dtype=np.uint8)
    if isinstance(schema, TextSchema):
        text = b"Hello there 42x!".ljust(32, b"\0")
        return np.frombuffer(text * 40, dtype=np.uint8).reshape(40, 32)
    numbers = rng.normal(size=(40, 2)) * [2.0, 10.0]
    return np.column_stack([numbers, rng.integers(0, 2, 40)]).astype(np.float64)
