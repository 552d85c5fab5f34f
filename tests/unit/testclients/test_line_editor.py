import pytest

from testclients.line_editor import MAX_CHARS, End, LineEditor, cells


@pytest.mark.parametrize(
    ("typed", "finished", "left"),
    [
        ("hi", [], "hi"),
        ("hi\n", ["hi"], ""),
        ("hi\rthere\nyo", ["hi", "there"], "yo"),
        ("\n", [""], ""),
        ("hx\x7fi\n", ["hi"], ""),
        ("\x7f\b", [], ""),
        ("wrong\x15right\n", ["right"], ""),
        ("one two  \x17\x17three\n", ["three"], ""),
        ("one two\x17three\n", ["one three"], ""),
        ("\x04", [End.END], ""),
        ("hi\x04\n\x04", ["hi", End.END], ""),
        ("a\tb\n", ["a b"], ""),
        ("a\x01\x0cb\x9b\n", ["ab"], ""),
        ("a\x1b[Ab\x1b[1;5Cc\x1bOPd\x1bxe\n", ["abcde"], ""),
        ("你好👍\n", ["你好👍"], ""),
    ],
)
def test_keys_become_lines(typed: str, finished: list[str | End], left: str) -> None:
    editor = LineEditor()
    assert editor.feed(typed) == finished
    assert editor.text == left


def test_it_does_not_matter_how_the_keys_are_cut() -> None:
    editor = LineEditor()
    finished = [line for key in "a\x1b[1;5Cb\n\x04" for line in editor.feed(key)]
    assert finished == ["ab", End.END]


def test_a_line_has_an_end() -> None:
    editor = LineEditor()
    assert editor.feed("x" * (MAX_CHARS + 5) + "\n") == ["x" * MAX_CHARS]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "bob> "),
        ("hi", "bob> hi"),
        ("0123456789012", "bob> 0123456789012"),
        ("01234567890123", "bob> <234567890123"),
        ("你好你好你好你", "bob> <好你好你好你"),
    ],
)
def test_a_text_that_does_not_fit_shows_its_end(text: str, shown: str) -> None:
    editor = LineEditor()
    editor.feed(text)
    assert editor.visible("bob> ", 19) == shown
    assert cells(shown) < 19


def test_wide_and_combining_characters_take_their_cells() -> None:
    assert (cells("ab"), cells("你"), cells("e\u0301"), cells("a\u200db")) == (2, 2, 1, 2)
