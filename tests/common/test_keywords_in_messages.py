"""A caller from Python reads keywords where a command line reads options."""

from __future__ import annotations

import pytest

from stacked_emotion.common.errors import (
    DataError,
    UserError,
    keywords_named,
    options_named,
    spelled,
)


@keywords_named(labels_column="labels", label_columns="labels", no_plots="plots=False")
def fail(message: str, kind: type[UserError] = UserError) -> None:
    raise kind(message)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Set --labels_column to one.", "Set labels= to one."),
        ("by --label_columns or --labels_column.", "by labels=."),
        ("--on_bad_rows skip leaves them out", "on_bad_rows='skip' leaves them out"),
        ("set --positive_from 1.5)", "set positive_from=1.5)"),
        ("or --ignore_columns 'a b' 'c'.", "or ignore_columns=['a b', 'c']."),
        ("with --encoders NAME=HUB_ID_OR_FOLDER …", "with encoders={'NAME': 'HUB_ID_OR_FOLDER'}"),
        ("--base_model a=U/N --base_model b=U/N", "base_model={'a': 'U/N', 'b': 'U/N'}"),
        ("set --encoders.a.source.", "set encoders={'a': {'source': …}}."),
        ("set --drop_leaked.", "set drop_leaked=True."),
        ("set --pretraining null.", "set pretraining=None."),
        ("a is not known (did you mean 'labels_column' or 'label_columns'?).",
         "a is not known (did you mean 'labels'?)."),
        ("no column 'a' (did you mean 'labels_column'?)",
         "no column 'a' (did you mean 'labels_column'?)"),
        ("pip install it, or use --no_plots.", "pip install it, or use plots=False."),
        *((text, text) for text in (
            "use `stacked-emotion predict --model DIR`.",
            "run stacked-emotion export F --quantize int8.", "a -- b --- c",
        )),
    ],
)  # fmt: skip
def test_python_reads_keywords_and_a_command_options(message: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        fail(message, DataError)
    assert str(caught.value) == expected
    with options_named(), pytest.raises(UserError) as caught:
        fail(message)
    assert str(caught.value) == message
    assert spelled(message) == message


def test_the_outermost_function_is_the_caller_s() -> None:
    @keywords_named(no_plots="draw=False")
    def outer() -> None:
        fail("use --no_plots")

    with pytest.raises(UserError, match="use draw=False"):
        outer()
