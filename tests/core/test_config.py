"""Configs: what is not known is refused, the nearest offered; nothing is lost on disk."""

from __future__ import annotations

from typing import Literal, Self

import pytest
from pydantic import Field, model_validator

from striate.core.config import Config
from striate.core.errors import InputError, StriateError, nearest, unknown_name


class Inner(Config):
    components: int = Field(1000, gt=0)
    kind: Literal["pca", "srp"] = "pca"


class Outer(Config):
    learning_rate: float = Field(1e-4, gt=0)
    epochs: int = 30
    taps: tuple[str, ...] | None = None
    freeze: tuple[str, ...] = ()
    projection: Inner = Inner()
    optional: Inner | None = None
    name: str = ""


def test_defaults_and_nothing_given(tmp_path):
    assert Outer.load() == Outer()
    (tmp_path / "a.yaml").write_text("# nothing but a comment\n")
    assert Outer.load(tmp_path / "a.yaml") == Outer()


def test_unknown_key_offers_the_nearest():
    with pytest.raises(InputError, match=r"config key 'learnin_rate'. Did you mean learning_rate"):
        Outer.from_dict({"learnin_rate": 1})
    with pytest.raises(InputError, match=r"unknown config key 'zzz'. Known: learning_rate, ep"):
        Outer.from_dict({"zzz": 1})


@pytest.mark.parametrize("section", ["projection", "optional"])
def test_unknown_key_in_a_section_offers_the_keys_of_the_section(section):
    with pytest.raises(InputError) as error:
        Outer.from_dict({section: {"component": 3}})
    assert f"Did you mean components? Known: components, kind. (at {section}.component)" in str(
        error.value
    )


def test_every_problem_is_told_at_once():
    with pytest.raises(InputError) as error:
        Outer.from_dict({"epoch": 3, "learning_rate": -1, "projection": {"kind": "ica"}}, "a.yaml")
    text = str(error.value)
    assert text.startswith("a.yaml: ")
    assert "Did you mean epochs" in text
    assert "config key learning_rate should be greater than 0, found -1." in text
    assert "config key projection.kind should be 'pca' or 'srp', found 'ica'." in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "many"}, "config key epochs should be a whole number, found 'many'."),
        ({"epochs": 1.5}, "config key epochs should be a whole number, found 1.5."),
        ({"learning_rate": "nan"}, "config key learning_rate should be a finite number, found"),
        ({"learning_rate": float("inf")}, "config key learning_rate should be a finite number, f"),
        ({"learning_rate": "x"}, "config key learning_rate should be a number, found 'x'."),
        ({"freeze": "a"}, "config key freeze should be a list, such as [a, b], found 'a'."),
        ({"projection": 3}, "config key projection should be a section of key: value pairs, fo"),
        ({"name": 3}, "config key name should be text (in quotes, where it looks like a number)"),
    ],
)
def test_wrong_values_are_told_in_plain_words(values, message):
    with pytest.raises(InputError) as error:
        Outer.from_dict(values)
    assert str(error.value).startswith(f"config: {message}")


def test_what_our_own_checks_say_stands_as_it_is():
    class Section(Config):
        low: int = 0
        high: int = 1

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.low > self.high:
                raise ValueError("low must not be above high")
            return self

    class Whole(Config):
        section: Section = Section()

    with pytest.raises(InputError) as error:
        Section.from_dict({"low": 2})
    assert str(error.value) == "config: low must not be above high."
    with pytest.raises(InputError) as error:
        Whole.from_dict({"section": {"low": 2}})
    assert str(error.value) == "config: config key section: low must not be above high."


def test_a_list_that_is_too_short_is_told_in_plain_words():
    class Needs(Config):
        folders: tuple[str, ...] = Field(min_length=1)

    with pytest.raises(InputError, match=r"folders should hold at least 1, found \[\]\.$"):
        Needs.from_dict({"folders": []})
    with pytest.raises(InputError) as error:  # what was refused is not said to be missing, too
        Needs.from_dict({"folders": [3]})
    assert str(error.value).count("config key folders") == 1


def test_a_missing_key_is_named():
    class Needs(Config):
        path: str

    with pytest.raises(InputError, match=r"config: config key path is missing\.$"):
        Needs.from_dict({})


@pytest.mark.parametrize(
    ("values", "typed", "offered"),
    [
        ({"tuning": {"epochs": 3}}, "tuning.epochs", "epochs"),
        ({"projection": {"epochs": 3}}, "projection.epochs", "epochs"),
        ({"kind": "pca"}, "kind", "optional.kind, projection.kind"),
        ({"optionl": {"kind": "pca"}}, "optionl.kind", "optional.kind, projection.kind"),
    ],
)
def test_a_key_of_another_section_is_offered_where_it_is(values, typed, offered):
    with pytest.raises(InputError) as error:
        Outer.from_dict(values)
    text = f"config: unknown config key {typed!r}. Did you mean {offered}?"
    assert str(error.value) == text


@pytest.mark.parametrize(
    "bad", [{"epochs": "many"}, {"epochs": 1.5}, {"projection": 3}, {"freeze": "features"}]
)
def test_bad_values_name_the_key(bad):
    with pytest.raises(InputError, match=rf"config key {next(iter(bad))}.*found"):
        Outer.from_dict(bad)


def test_overrides_are_yaml_and_go_over_the_file(tmp_path):
    (tmp_path / "a.yaml").write_text("epochs: 3\nprojection:\n  components: 5\n  kind: srp\n")
    config = Outer.load(
        tmp_path / "a.yaml",
        [
            "epochs=4",
            "learning_rate=1e-3",  # YAML 1.1 takes this for words
            "projection.components=7",
            "taps=[features.3, features.6]",
            "optional.kind=srp",
            "name=a=b",
        ],
    )
    assert config == Outer(
        epochs=4,
        learning_rate=1e-3,
        projection=Inner(components=7, kind="srp"),
        taps=("features.3", "features.6"),
        optional=Inner(kind="srp"),
        name="a=b",
    )
    assert Outer.load(None, ["taps=[a]", "taps=null"]).taps is None


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("epochs", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("taps=[a", "the value is not YAML"),
        ("epochs.more=3", "config key epochs"),
        ("epoch=3", "Did you mean epochs"),
        ("projection.component=3", "Did you mean components"),
    ],
)
def test_bad_overrides(override, named):
    with pytest.raises(InputError, match=named):
        Outer.load(None, [override])


def test_an_override_below_a_value_is_refused(tmp_path):
    with pytest.raises(InputError, match="'epochs' is a value, not a section"):
        Outer.load(None, ["epochs=3", "epochs.more=4"])
    with pytest.raises(InputError, match=r"by its key too: models\.a\.KEY=net"):
        Outer.load(None, ["models.a=net", "models.a.size=4"])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"epochs: [1, 2", "cannot be read"),
        (b"\xff\xfe\x00epochs", "cannot be read"),
        (b"a: b: c", "cannot be read"),
        (b"- epochs\n- 3\n", "must hold key: value pairs, found a list"),
        (b"!!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_broken_files_are_named(tmp_path, content, named):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.yaml {named}"):
        Outer.load(tmp_path / "a.yaml")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml does not exist"):
        Outer.load(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        Outer.load(tmp_path)


def test_save_and_load(tmp_path):
    config = Outer(
        learning_rate=2.5e-5, taps=("a", "b"), projection=Inner(kind="srp"), name="Grüß, 1e-4: no"
    )
    config.save(tmp_path / "a.yaml")
    assert Outer.load(tmp_path / "a.yaml") == config
    assert "kind: srp" in (tmp_path / "a.yaml").read_text()
    assert Outer.from_dict(config.to_dict()) == config


def test_configs_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Outer().epochs = 3


def test_defaults_are_checked_too():
    class Wrong(Config):
        epochs: int = Field(0, gt=0)

    with pytest.raises(InputError, match="config key epochs"):
        Wrong.from_dict({})


def test_nearest_does_not_mind_case():
    assert nearest("v1V", ["V1v", "V1d", "hV4"])[0] == "V1v"
    assert nearest("zebra", ["V1v", "V1d"]) == []


def test_a_long_list_of_known_names_is_cut():
    text = str(unknown_name("unit", "x", [f"u{i}" for i in range(100)]))
    assert "u39, … (100 in all)" in text
    assert "u40" not in text
    assert str(unknown_name("session", 3, [])) == "unknown session '3'. Known: none."


def test_exit_codes():
    assert (StriateError.exit_code, InputError.exit_code) == (1, 2)
    assert issubclass(InputError, ValueError)
