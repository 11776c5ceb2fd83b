"""Templates of manifest values.  Jinja's own rendering is the witness of what they mean."""

from pathlib import PurePosixPath

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.filenames import slug
from batchgen.manifest.templates import Template, TemplateFault, is_template, no_variable

VALUES = {
    "city": "New York", "path": "a/b/c.tar.png", "n": 7, "half": 0.5, "yes": True, "no": False, "blank": "",
    "size": {"width": 640, "items": "three", "depth": {"unit": "mm"}}, "colours": ["red", "deep blue"], "nothing": None,
}  # fmt: skip


def fault(source, values=VALUES):
    with pytest.raises(TemplateFault) as caught:
        Template(source).render(values)
    return str(caught.value)


# --- what they become -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a cat", "a cat"),
        ("{plain} {% if %} {# #} 100%", "{plain} {% if %} {# #} 100%"),
        ("{{ city }}", "New York"),
        ("{{city}}-{{  city  }}", "New York-New York"),
        ("in {{ city }}\n", "in New York\n"),
        ("{{ '{{' }}{{ city }}}", "{{New York}"),
        ("{% raw %}{{ city }}{% endraw %}", "{{ city }}"),
        ("{{- city -}} !", "New York!"),
        ("{{ n }} {{ half }} {{ yes }} {{ no }} {{ 3 }} {{ -2.5 }} {{ true }}", "7 0.5 true false 3 -2.5 true"),
        ("{{ size.width }}x{{ size['depth']['unit'] }}", "640xmm"),
        ("{{ size.items }}", "three"),
        ("{{ colours[0] }} {{ colours[-1] }}", "red deep blue"),
        ("{{ size[key] }}", "640"),
        ("{{ _2nd }}", "second"),
        ("{{ city ~ '-' ~ n }}", "New York-7"),
        ("{{ 'big' if n > 5 else 'small' }}", "big"),
        ("{{ 'big' if 5 < n < 7 else 'small' }}", "small"),
        ("{% if n == 1 %}one{% elif n in [6, 7] %}{{ city }}{% else %}many{% endif %}{{ '' }}", "New York"),
        ("{% if colour is defined %}in {{ colour }}{% endif %}{{ n }}", "7"),
        ("{{ 'x' if not (no or blank) and yes else 'y' }}", "x"),
        ("{{ 'x' if 'York' in city and n not in (1, 2) else 'y' }}", "x"),
    ],
)
def test_values_are_filled_in(source, text):
    assert Template(source).render(VALUES | {"key": "width", "_2nd": "second"}) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("city | slug", "new-york"),
        ("city | lower", "new york"),
        ("city | upper | replace('YORK', 'Haven')", "NEW Haven"),
        ("city | replace('o', 'oo', 1) | truncate(6)", "New Yo"),
        ('"it\'s a dog" | title', "It's A Dog"),
        ("'  x ' | trim", "x"),
        ("n | pad(4)", "0007"),
        ("'A7' | pad(width=4)", "00A7"),
        ("path | stem", "c.tar"),
        ("path | basename", "c.tar.png"),
        ("path | parent", "a/b"),
        ("'c.png' | parent", ""),
        ("'.hidden' | stem", ".hidden"),
        ("'shelf/red/' | basename", "red"),
        ("colours | join(', ')", "red, deep blue"),
        ("colours | last | first", "d"),
        ("missing | default('x')", "x"),
        ("nothing | default(city) | upper", "NEW YORK"),
        ("blank | default('x')", "x"),
        ("no | default('x')", "false"),
        ("no | default('x', true)", "x"),
        ("size.height | default(480)", "480"),
        ("missing.height | slug | default('none')", "none"),
        ("missing | default", ""),
    ],
)
def test_filters(expression, text):
    assert Template(f"{{{{ {expression} }}}}").render(VALUES) == text


def test_only_double_braces_make_a_template():
    assert is_template("a {{ city }}")
    assert not is_template("a { city } {% if x %}")


# --- what they need ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "needed", "optional"),
    [
        ("a", "", ""),
        ("{{ a }} {{ b | slug }}", "a b", ""),
        ("{{ a.b[c] }}", "a c", ""),
        ("{{ a | default(b) }}", "b", "a"),
        ("{{ a | default('') }} {{ a }}", "a", ""),
        ("{% if a is defined %}{{ a }}{% endif %}{{ b }}", "b", "a"),
        ("{% if a is not defined %}{{ b }}{% else %}{{ a }}{% endif %}", "b", "a"),
        ("{% if c %}x{% elif a is not defined %}{{ b }}{% else %}{{ a }}{% endif %}{{ c }}", "b c", "a"),
        ("{% if a is defined %}x{% endif %}{{ a }}", "a", ""),
        ("{{ a.b if a.b is defined else c }}", "c", "a"),
        ("{{ 'x' if a is defined and a > 3 else 'y' }}", "", "a"),
        ("{{ 'x' if a is not defined or a > 3 else 'y' }}", "", "a"),
        ("{{ a if a is defined or b else 'y' }}", "a b", ""),
        ("{{ a if a is defined and b is defined else 'y' }}", "", "a b"),
    ],
)
def test_a_template_knows_its_names(source, needed, optional):
    template = Template(source)
    assert (template.names, template.optional) == (set(needed.split()), set(optional.split()))


# --- what is wrong with them ------------------------------------------------------------------------------------------

BRACES = "(for braces as text write {{ '{{' }})"
ONLY = "only names, filters, comparisons, ~ and if can stand here"
FILTER_NAMES = (
    "basename, default, first, join, last, lower, pad, parent, replace, slug, stem, title, trim, truncate, upper"
)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ a }", f"is no template: unexpected '}}' {BRACES}"),
        ("a\n{{ (b }}", f"is no template in line 2: unexpected '}}', expected ')' {BRACES}"),
        ("{{", f"is no template: unexpected 'end of template' {BRACES}"),
        ("{{ a | slugg }}", f"unknown filter 'slugg' (did you mean 'slug'? there are: {FILTER_NAMES})"),
        ("{{ a | pad }}", "the filter is written pad(width)"),
        ("{{ a | slug(3) }}", "slug takes nothing"),
        ("{{ a | pad('4') }}", "pad(...) takes a whole number from 0 to 100"),
        ("{{ a | pad(999999999) }}", "pad(...) takes a whole number from 0 to 100"),
        ("{% for x in y %}{{ x }}{% endfor %}", f"no loops: {ONLY}"),
        ("{{ a.upper() }}", f"no calls: {ONLY}"),
        ("{{ a if range(9) else b }}", f"no calls: {ONLY}"),
        ("{{ a + b }}", f"no + (write ~ to put texts together): {ONLY}"),
        ("{{ 'a' * 999 }}", f"no arithmetic: {ONLY}"),
        ("{{ -a }}", f"no arithmetic: {ONLY}"),
        ("{{ a[1:] }}", f"no slices [:]: {ONLY}"),
        ("{{ {'a': 1} }}", f"no mappings {{...}}: {ONLY}"),
        ("{% set a = 1 %}{{ a }}", f"no {{% set %}}: {ONLY}"),
        ("{% include 'a' %}{{ a }}", ONLY),
        ("{% macro a() %}{{ b }}{% endmacro %}", ONLY),
        ("{% filter upper %}{{ a }}{% endfilter %}", ONLY),
        ("{{ a | lower(*b) }}", f"no *: {ONLY}"),
        ("{{ a is odd }}", "'is odd' is not known here; there is 'is defined'"),
        ("{{ a if b }}", "if inside {{ }} needs an else: {{ a if b else c }}"),
        ("{{ a.__class__ }}", "'__class__': parts whose names start with _ cannot be used"),
        ("{{ a['__class__'] }}", "'__class__': parts whose names start with _ cannot be used"),
        ("{{ " + "9" * 5000 + " }}", "holds a number with too many digits"),
        ("{{ " + "(" * 3000 + "a", "is nested too deeply"),
        ("{{ a" + " | lower" * 3000 + " }}", "is nested too deeply"),
    ],
    ids=range(28),
)
def test_a_wrong_template_is_known_before_anything_is_filled_in(source, message):
    with pytest.raises(TemplateFault) as caught:
        Template(source)
    assert str(caught.value) == message


NAMED = "there are: blank, city, colours, half, n, no, nothing, path, size, yes"
WHOLE_LIST = 'colours is a list: name one of it, such as colours[0], or write colours | join(", ")'
CELLS = 'cells of csv and txt are text: write "3" for 3'


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ citty }}", f"there is no variable 'citty' (did you mean 'city'? {NAMED})"),
        ("{{ citty | slug }}", f"there is no variable 'citty' (did you mean 'city'? {NAMED})"),
        ("{{ nothing }}", 'nothing is empty (null); | default("...") says what to write then'),
        ("{{ nothing | upper }}", 'nothing is empty (null); | default("...") says what to write then'),
        ("{{ size }}", "size is a mapping: name a part of it, such as size.width"),
        ("{{ size.depth | lower }}", "size.depth is a mapping: name a part of it, such as size.depth.unit"),
        ("{{ colours }}", WHOLE_LIST),
        ("{{ colours | join(city) ~ colours }}", WHOLE_LIST),
        ("{{ size.widht }}", "size has no 'widht' (did you mean 'width'? there are: depth, items, width)"),
        ("{{ colours[9] }}", "colours is a list and has no 9"),
        ("{{ city.upper }}", "city is text and has no 'upper'"),
        ("{{ nothing.x }}", "nothing is empty (null) and has no 'x'"),
        ("{{ city | join }}", "join puts a list together; this is text"),
        ("{{ blank | first }}", "first: there is nothing in it"),
        ("{{ n | last }}", "last takes an item of a list; this is a number"),
        ("{{ city == 3 }}", f"text cannot be compared with a number; {CELLS}"),
        ("{{ yes == 'true' }}", f"true or false cannot be compared with text; {CELLS}"),
        ("{{ colours > 3 }}", "a list cannot be compared with a number"),
        ("{{ 3 in n }}", "a number cannot be compared with a number"),
        ("{{ city | truncate(colours) }}", "truncate(...) takes a whole number from 0 to 1,000,000"),
    ],
)
def test_what_cannot_be_filled_in_says_why(source, message):
    assert fault(source) == message


def test_at_most_twelve_names_are_listed():
    told = no_variable("x", {f"column{number:02}": 1 for number in range(40)})
    assert told.count("column") == 12
    assert told.endswith("column11, ...)")
    assert no_variable("x", ()) == "there is no variable 'x'"


@pytest.mark.parametrize(
    "source",
    [
        "{{ big }}{{ big }}",
        "{{ big ~ big }}",
        "{{ 'a' | replace('a', big) | replace('x', 'xx') }}",
        "{{ big | replace('', big) }}",
        "{{ [big, 1] | join(big) }}",
        "{% if big %}{{ big }}{{ big }}{% endif %}",
    ],
)
def test_no_giant_text(source):
    big = "x" * 600_000
    assert Template("{{ big }}").render({"big": big}) == big
    assert fault(source, {"big": big}) == "becomes longer than 1,000,000 characters"


# --- Jinja is the witness ---------------------------------------------------------------------------------------------


def written(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def witness():
    """Return Jinja with the same filters, written anew."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, finalize=written, keep_trailing_newline=True)
    as_text = {
        "slug": slug,
        "lower": str.lower,
        "upper": str.upper,
        "title": jinja2.filters.do_title,
        "trim": str.strip,
        "replace": str.replace,
        "pad": str.zfill,
        "truncate": lambda text, length: text[:length],
        "stem": lambda text: PurePosixPath(text).stem,
        "basename": lambda text: PurePosixPath(text).name,
    }
    for name, function in as_text.items():
        environment.filters[name] = lambda value, *args, _function=function: _function(written(value), *args)
    environment.filters["default"] = lambda value, other="": (
        other if isinstance(value, jinja2.Undefined) or value is None or value == "" else value
    )
    environment.globals.clear()
    return environment


JINJA = witness()
TEXTS = st.sampled_from(["a", " ", "\n", "\r\n", "{", "}", "}}", "{ x }", "%}", "#}", "100%", "é", "'", "-"])
PATHS = st.from_regex(r"[a-z]{1,3}(/[a-z ]{1,3}){0,2}(\.[a-z]{1,3}){0,2}", fullmatch=True)
FILTERS = st.sampled_from(
    ["slug", "lower", "upper", "title", "trim", "stem", "basename", "pad(4)", "pad(0)", "truncate(3)",
     "replace('a', 'bb')", "replace(' ', '')", "replace('b', '', 1)", "default('d')"]
)  # fmt: skip
ROWS = st.fixed_dictionaries(
    {"a": st.text(max_size=8).filter(lambda text: "/" not in text and text not in (".", "..")), "b": PATHS,
     "n": st.integers(-99, 99), "f": st.floats(allow_nan=False), "t": st.booleans(),
     "m": st.fixed_dictionaries({"x": PATHS, "items": st.integers()}), "l": st.lists(PATHS, min_size=2)}
)  # fmt: skip


NAMES = st.sampled_from(["a", "b", "n", "t", "m.x", "m['items']", "l[0]", "l[-1]", "'it is'", "3", "true"])
EXPRESSIONS = st.builds(lambda name, used: " | ".join([name, *used]), NAMES, st.lists(FILTERS, max_size=3))
#: The usual kind: text, names and filters with constant arguments.
USUAL = st.lists(TEXTS | EXPRESSIONS.map("{{{{ {} }}}}".format), max_size=6).map(
    # a brace right before an expression would be part of it
    lambda pieces: "".join(f"{piece} " if piece == "{" else piece for piece in [*pieces, "{{ a }}"])
)
CONDITIONS = st.recursive(
    st.sampled_from(
        ["n > 3", "n == 7", "0 <= n < 50", "t", "not t", "a", "'a' in a", "b in ['a', 'b']", "m.x == b", "n != f",
         "z is defined", "a is defined", "z is not defined", "l[1] not in l", "a < b"]
    ),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
    max_leaves=4,
)  # fmt: skip
INLINE = st.builds("{{{{ {} if {} else (b | upper ~ n) }}}}".format, EXPRESSIONS, CONDITIONS)
BLOCKS = st.builds(
    "{{% if {} %}}{}{{% elif {} %}}{}{{% else %}}{}{{% endif %}}".format, CONDITIONS, USUAL, CONDITIONS, USUAL, USUAL
)
CONDITIONAL = st.lists(INLINE | BLOCKS, min_size=1, max_size=2).map("".join)


@given(USUAL, ROWS)
def test_the_usual_templates_mean_what_jinja_makes_of_them(source, values):
    assert Template(source).render(values) == JINJA.from_string(source).render(values)


@given(CONDITIONAL, ROWS)
def test_conditions_mean_what_jinja_makes_of_them(source, values):
    assert Template(source).render(values) == JINJA.from_string(source).render(values)


SOUP = st.lists(
    st.sampled_from(
        ["{{", "}}", "{", "}", " ", "{%", "%}", "{#", "#}", "a", "n", "z", "|", "lower", "if", "else", "endif", "and",
         "or", "not", "in", "is", "defined", "true", "None", "(", ")", "[", "]", ".", ",", "~", "'", "0", "1", "-",
         "==", "raw", "endraw", "\n", "\r\n", "{{ a }}", "{{ n|lower }}", "{% if n %}", "{% endif %}", "{{a}}", "_",
         "+"]
    ),
    max_size=14,
).map(lambda tokens: "".join([*tokens, "{{ a }}"]))  # fmt: skip


@given(SOUP)
def test_what_is_filled_in_at_all_is_filled_in_as_jinja_would(source):
    values = {"a": "A b", "n": 7}
    try:
        text = Template(source).render(values)
    except TemplateFault:
        return
    assert text == JINJA.from_string(source).render(values)
