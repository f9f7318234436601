"""The language of questions: what is typed, what is understood, and how it is shown again."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_search.errors import QuerySyntaxError
from image_search.query import MAX_CHOICES, MAX_TERMS, Query, Term, parse

MARKS = re.compile('["“”„]')

A, B, C = Term("a"), Term("b"), Term("c")


def understood(text: str) -> list[list[str]]:
    """Groups of texts; only of terms that weigh 1."""
    query = parse(text)
    assert all(term.weight == 1 and not term.is_picture for term in query.terms), query
    return [[term.text for term in group] for group in query.groups]


def same_again(query: Query) -> None:
    assert parse(str(query)) == query, str(query)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", ()),
        ("  \t ", ()),
        ("a harbour at night", ((Term("a harbour at night"),),)),
        ("  a   b\n", ((Term("a b"),),)),
        ("a -b", ((A,), (Term("b", -1),))),
        ("a −b", ((A,), (Term("b", -1),))),
        ("-a", ((Term("a", -1),),)),
        ("a +b", ((A,), (B,))),
        ("a + b", ((A,), (B,))),
        ("+a +b", ((A,), (B,))),
        ("a b +c a -b c", ((Term("a b"),), (Term("c a"),), (Term("b c", -1),))),
        ("2:a +0.5:b -0,25:c", ((Term("a", 2),), (Term("b", 0.5),), (Term("c", -0.25),))),
        ("2:a b", ((Term("a b", 2),),)),
        ("100:a", ((Term("a", 100),),)),
        ("0.00001:a", ((Term("a", 1e-5),),)),
        ("1.2345678:a", ((Term("a", 1.2345678),),)),
        ("a OR b", ((A, B),)),
        ("a OR b OR c", ((A, B, C),)),
        ("a OR 2:b", ((A, Term("b", 2)),)),
        ("a OR b -c", ((A, B), (Term("c", -1),))),
        ("a +b OR c", ((A,), (B, C))),
        ("like:x", ((Term("x", 1, True),),)),
        ("-like:x", ((Term("x", -1, True),),)),
        ("2:like:x -0.5:like:y", ((Term("x", 2, True),), (Term("y", -0.5, True),))),
        ("like:x a", ((Term("x", 1, True),), (A,))),
        ("a like:x b", ((A,), (Term("x", 1, True),), (B,))),
        ("like:x 2:b", ((Term("x", 1, True),), (Term("b", 2),))),
        ("like:x OR like:y", ((Term("x", 1, True), Term("y", 1, True)),)),
        ("like:warm/a:b.png", ((Term("warm/a:b.png", 1, True),),)),
        ('like:"a  b"', ((Term("a  b", 1, True),),)),
        ("like:“a b” c", ((Term("a b", 1, True),), (C,))),
        ('like:a"b', ((Term('a"b', 1, True),),)),
        ('like:""', ()),
        ('"red -blue"', ((Term("red -blue"),),)),
        ("“red OR blue”", ((Term("red OR blue"),),)),
        ("„red or blue“", ((Term("red or blue"),),)),
        ('"2:a"', ((Term("2:a"),),)),
        ('"like:x"', ((Term("like:x"),),)),
        ('a "b -c" a', ((Term("a b -c a"),),)),
        ('-"a b" c', ((Term("a b", -1),), (C,))),
        ('2:"1866 map"', ((Term("1866 map", 2),),)),
        ('3:"2:"', ((Term("2:", 3),),)),
        ('+"+"', ((Term("+"),),)),
        ('-"+"', ((Term("+", -1),),)),
        ('""', ()),
        ('-""', ()),
        ('a OR ""', ((A,),)),
        ("a cat -a dog or a bird", ((Term("a cat"),), (Term("a dog", -1),), (Term("a bird", -1),))),
        ("2:a cat or a dog", ((Term("a cat", 2), Term("a dog", 2)),)),
        ("a cat or a dog OR a bird", ((Term("a cat"), Term("a dog"), Term("a bird")),)),
    ],
)
def test_what_is_typed_is_understood_and_said_again(
    text: str, groups: tuple[tuple[Term, ...], ...]
) -> None:
    query = parse(text)
    assert query == Query(groups)
    same_again(query)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("red   +2,50:blue  −green", "red +2.5:blue -green"),
        ("-red + blue", "-red +blue"),
        ('"a harbour"', "a harbour"),
        ('"red -blue" like:"a b" like:c', '"red -blue" +like:"a b" +like:c'),
        ("a drawing of a cat or a dog -fog", "a drawing of a cat OR a drawing of a dog -fog"),
        ("0.00001:a", "0.00001:a"),
        ("100:a", "100:a"),
    ],
)
def test_a_query_is_shown_as_it_may_be_typed(typed: str, shown: str) -> None:
    assert str(parse(typed)) == shown


@pytest.mark.parametrize(
    "title",
    [
        "London - a view",
        "London -- a view",
        "A view of Rome – the Forum",
        "A view of Rome — the Forum",
        "-",
        "Paris, 1850-1900",
        "c.1850-",
        "A well-known man",
        "Hamlet: a play in five acts",
        "At 2:30 in the morning",
        "2:30",
        "Map 1:50000",
        "Screen ratio 3:2, colour",
        "Anno 1850:portrait",
        "Fig. 1850:a detail",
        "The king's men, 'tis said",
        'An 8" disk, 5\' 6" tall',
        '18" x 24"',
        "C++ and A+B",
        "red +",
        "a - ",
        "Les Fleurs d'or",
        "Frankenstein; or, The Modern Prometheus",
        "To be or not to be",
        "«Ansicht»; 50% (sic!) [?] {x} #7 & <b> \\ / | ~ ^ * ?",
        "alike: the other",
        "like: this",
        "I like:",
        "fig.-b",
        "Πανόραμα 地図 🦊",
        "Cat Or Dog",
        "or",
        "or gold",
        "gold or",
        "ORANGE ORB",
    ],
)
def test_a_pasted_title_stays_one_plain_term(title: str) -> None:
    assert understood(title) == [[" ".join(title.split())]]
    assert parse(title).is_plain
    same_again(parse(title))


@pytest.mark.parametrize(
    ("text", "place", "length", "told"),
    [
        ('a "b', 2, 1, 'This quotation mark is not closed, at character 3: a ▸"b'),
        ("a “b c", 2, 1, "not closed"),
        ('like:"a', 5, 1, "not closed"),
        ("OR a", 0, 2, "OR needs something before it, at character 1: ▸OR a"),
        ("a OR OR b", 5, 2, "something before it"),
        ("a OR", 4, 2, "something after it"),
        ("Portland, OR ", 13, 2, "something after it"),
        ("0:a", 0, 2, "A weight is a number above 0 and up to 100"),
        ("a -0.0:b", 2, 4, "above 0"),
        ("a +100.5:b", 2, 6, "up to 100"),
        ("a " * 50 + '"b', 100, 1, "at character 101: …" + "a " * 20 + '▸"b'),
    ],
)
def test_an_error_points_at_its_place(text: str, place: int, length: int, told: str) -> None:
    with pytest.raises(QuerySyntaxError, match=re.escape(told)) as error:
        parse(text)
    assert (error.value.place, error.value.length) == (place, length)


def test_too_many_things_are_refused() -> None:
    assert len(parse(" +".join("abcdefghijklmnopqrst")).terms) == MAX_TERMS == 20
    assert len(parse("a OR b +c OR d +e OR f +g OR h").choices()) == MAX_CHOICES == 16
    for text in (" +".join("abcdefghijklmnopqrstu"), "a OR b +c OR d +e OR f +g OR h +i OR j"):
        with pytest.raises(QuerySyntaxError, match="up to 20 terms, and 16 ways"):
            parse(text)


def test_choices_are_every_way_to_take_one_of_each_group() -> None:
    query = parse("a OR b +c OR a")
    assert query.choices() == [(A, C), (A, A), (B, C), (B, A)]
    assert Query().choices() == [()]


def test_less_of_one_or_the_other_is_less_of_both() -> None:
    both = ((C,), (Term("a", -1),), (Term("b", -1),))
    for text in ("c -a OR b", "c -a OR -b", "c -a or b", "c -a -b"):
        assert parse(text).groups == both
    assert parse("a OR -b").groups == ((A, Term("b", -1)),)


def test_a_minus_before_a_number_is_no_sign_but_before_a_weight() -> None:
    for text in ("-5 degrees", "1850 -1900", "a -3"):
        assert parse(text).groups == ((Term(text),),)
    assert parse("c -2:a").groups == ((C,), (Term("a", -2),))
    assert str(parse('c -"18 a"')) == 'c -"18 a"'
    assert parse("c 2:a 0.5:b").groups == ((C,), (Term("a", 2),), (Term("b", 0.5),))


@pytest.mark.parametrize(
    ("text", "plain"),
    [("a b", True), ("a OR b", True), ("a or b", True), ('"a"', True), ("", False), ("-a", False),
     ("2:a", False), ("a +b", False), ("like:x", False), ("a OR like:x", False)],
)  # fmt: skip
def test_only_words_that_nothing_is_done_with_are_plain(text: str, plain: bool) -> None:
    assert parse(text).is_plain == plain


def test_without_a_term_the_others_are_as_they_were() -> None:
    query = parse('2:a OR "red -blue" +like:"x y" -c')
    assert str(query.without(0, 0)) == '"red -blue" +like:"x y" -c'
    assert str(query.without(0, 1)) == '2:a +like:"x y" -c'
    assert str(query.without(1, 0)) == '2:a OR "red -blue" -c'
    assert str(query.without(2, 0)) == '2:a OR "red -blue" +like:"x y"'
    assert str(parse("a").without(0, 0)) == ""
    assert str(parse("a -b").without(0, 0)) == "-b"
    for place, group in enumerate(query.groups):
        for term in range(len(group)):
            same_again(query.without(place, term))


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("cat or dog", ["cat", "dog"]),
        ("a cat or a dog", ["a cat", "a dog"]),
        ("a boy or girl", ["a boy", "a girl"]),
        ("a cat, a dog or a bird", ["a cat", "a dog", "a bird"]),
        ("a cat, a dog, or a bird", ["a cat", "a dog", "a bird"]),
        ("cats, dogs or birds", ["cats", "dogs", "birds"]),
        ("either a cat or a dog", ["a cat", "a dog"]),
        ("either cats or dogs", ["cats", "dogs"]),
        ("a cat or a cat", ["a cat"]),
        ("a drawing of a cat or a dog", ["a drawing of a cat", "a drawing of a dog"]),
        ("a photo of cats or dogs", ["a photo of cats", "a photo of dogs"]),
        ("a photo of either cats or dogs", ["a photo of cats", "a photo of dogs"]),
        (
            "a drawing of a cat, a bird or a fish",
            ["a drawing of a cat", "a drawing of a bird", "a drawing of a fish"],
        ),
        ("map of Paris, Lyon or Rome", ["map of Paris", "map of Lyon", "map of Rome"]),
        ("a map of France or Italy", ["a map of France", "a map of Italy"]),
        ("an old map of France or of Italy", ["an old map of France", "an old map of Italy"]),
        ("a view from Rome or from Naples", ["a view from Rome", "a view from Naples"]),
        ("a man or a woman with a hat", ["a man", "a woman with a hat"]),
        ("a man with a hat or with a cane", ["a man with a hat", "a man with a cane"]),
        ("ships on the sea or on a river", ["ships on the sea", "ships on a river"]),
        ("a bridge over a river or canal", ["a bridge over a river", "a bridge over a canal"]),
        ("a castle on a hill or a mountain", ["a castle on a hill", "a castle on a mountain"]),
        ("trees in winter or autumn", ["trees in winter", "trees in autumn"]),
        ("a woman reading or writing", ["a woman reading", "a woman writing"]),
        ("a photograph of the moon or stars", ["a photograph of the moon",
                                               "a photograph of the stars"]),
        # What stands behind two qualities belongs to both.
        ("a red or blue car", ["a red car", "a blue car"]),
        ("a red or a blue car", ["a red car", "a blue car"]),
        ("an old red or blue car", ["an old red car", "an old blue car"]),
        ("red, green or blue birds", ["red birds", "green birds", "blue birds"]),
        ("a red, a green or a blue bird", ["a red bird", "a green bird", "a blue bird"]),
        ("red or blue or green birds", ["red birds", "blue birds", "green birds"]),
        ("plants with blue or red flowers", ["plants with blue flowers",
                                             "plants with red flowers"]),
        ("black or white", ["black", "white"]),
        ("a red car or a blue car", ["a red car", "a blue car"]),
        ("a woman in a red dress or a blue coat", ["a woman in a red dress",
                                                   "a woman in a blue coat"]),
        # Quotes turn it off, but an “or” outside them counts.
        ('"a cat or a dog"', ["a cat or a dog"]),
        ('a cat "or" a dog', ["a cat or a dog"]),
        ('a cat or "a dog or a bird"', ["a cat", "a dog or a bird"]),
        # Words that name no two things.
        ("two or three boats", ["two or three boats"]),
        ("a boat or two", ["a boat or two"]),
        ("one or more people", ["one or more people"]),
        ("a dozen or so soldiers", ["a dozen or so soldiers"]),
        ("some animal or other", ["some animal or other"]),
        ("more or less ruined castle", ["more or less ruined castle"]),
        ("now or never", ["now or never"]),
        ("believe it or not", ["believe it or not"]),
        ("roses (red or white) in a vase", ["roses (red or white) in a vase"]),
        ("[France or Italy]", ["[France or Italy]"]),
        ("cat or or dog", ["cat or or dog"]),
        (", or a", [",", "a"]),
    ],
)  # fmt: skip
def test_a_plain_or_names_things(text: str, things: list[str]) -> None:
    assert understood(text) == [things]
    same_again(parse(text))


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a king on a throne or a queen", ["a king on a throne", "a king on a queen"]),
        ("people dancing or singing in the street", ["people dancing", "singing in the street"]),
        (
            "The Merchant of Venice or Othello",
            ["The Merchant of Venice", "The Merchant of Othello"],
        ),
        ("a car, red or blue", ["a car", "a red", "a blue"]),
        ("a man or old woman", ["a man", "a old woman"]),
    ],
)
def test_where_english_needs_a_grammar_the_result_can_be_seen(text: str, things: list[str]) -> None:
    """None of these is what is meant. What was understood is shown, and quotes turn it off."""
    assert understood(text) == [things]
    assert understood(f'"{text}"') == [[text]]


PIECES = [
    *("a", "red", "of", "the", "x/y.png", "1850", ",", "(", ")", " ", "  ", "\t", "\u00a0"),
    *("-", "+", "−", "-b", "+c", "2:", "2:d", "0.5:", "2,5:", "0.00001:", "like:", "like:x"),
    *("OR", " OR ", "or", " or ", "either ", "not ", "-like:", '"', "“", "”", "„"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=40)


def read(text: str) -> Query:
    """What is understood of a text; nothing where it is refused with a place in it."""
    try:
        return parse(text)
    except QuerySyntaxError as error:
        told = error
    assert 0 <= told.place <= told.place + told.length <= len(text) + len("OR")
    assert told.place <= len(text)
    assert len(str(told)) < 300
    return Query()


@settings(max_examples=1_000, deadline=None)
@given(TEXTS)
def test_any_text_is_understood_or_refused_with_a_place_in_it(text: str) -> None:
    query = read(text)
    if any(MARKS.search(term.text) for term in query.terms):
        parse(str(query))  # nothing stands for a quotation mark within quotes
    else:
        same_again(query)
    for place, group in enumerate(query.groups):
        for term in range(len(group)):
            str(query.without(place, term))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters='"“”„'), min_size=1), max_size=4))
def test_quoted_texts_are_themselves(texts: list[str]) -> None:
    texts = [kept for text in texts if (kept := " ".join(text.split()))]
    query = parse(" ".join(f'+"{text}"' for text in texts))
    assert [term.text for term in query.terms] == texts
    same_again(query)


@pytest.mark.parametrize(
    "piece",
    ['"', "- ", "a OR ", "a or ", "or ", "a, ", "a,", "-", "-a ", "1:", "like:", "“", "„”", "+ ",
     " ", "9", "OR ", "-a or b ", '"a" ', "like:a ", "a or b, ", "(a or b ", "red or blue ",
     "a of b or ", "\u0301", "either a or "],
)  # fmt: skip
def test_2000_hostile_characters_take_no_time(piece: str) -> None:
    def seconds(characters: int) -> float:
        text = (piece * characters)[:characters]
        start = time.process_time()
        str(read(text))
        return time.process_time() - start

    seconds(100)
    assert min(seconds(2_000) for _ in range(3)) < 0.1


def test_many_alternatives_are_refused_at_once() -> None:
    """Each of 300 different things with the 600 characters before it."""
    text = "a drawing of " + "very " * 100 + " or ".join(f"x{n}" for n in range(200))
    start = time.process_time()
    with pytest.raises(QuerySyntaxError, match="too many things"):
        parse(text)
    assert time.process_time() - start < 0.2
