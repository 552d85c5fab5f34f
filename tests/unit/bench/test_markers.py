import pytest

from bench.markers import DIGITS, MAX_NUMBER, NUMBER, SIGN, WIDTH, content, padding


@pytest.mark.parametrize(("number", "sent_us"), [(0, 0), (12, 345), (MAX_NUMBER, NUMBER - 1)])
def test_a_mark_has_one_width_and_is_read_with_one_conversion(number: int, sent_us: int) -> None:
    mark = content(number, sent_us, "").encode()
    assert len(mark) == WIDTH
    assert mark[:1] == mark[-1:] == SIGN
    assert divmod(int(mark[1 : 1 + DIGITS]), NUMBER) == (number, sent_us)


@pytest.mark.parametrize(("size", "reached"), [(0, WIDTH), (WIDTH, WIDTH), (120, 120)])
def test_padding_fills_the_content_up_to_its_size(size: int, reached: int) -> None:
    assert len(content(1, 2, padding(size))) == reached
