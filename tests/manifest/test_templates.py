"""Templates of manifest values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("{{ self | upper }} {{ self ~ loop }}", "ME mehoop"),
        ("{{ 'x' if colours == ('red', 'deep blue') else 'y' }}", "x"),
        ("{{ 'x' if 'York' in city and n not in (1, 2) else 'y' }}", "x"),
    ],
)
def test_values_are_filled_in(source, text):
    assert Template(source).render(VALUES | {"key": "width", "_2nd": "second", "self": "me", "loop": "hoop"}) == text


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
        ("{% if a is defined %}x{% endif %}{{ a }}", "", "a"),
        ("{{ a.b if a.b is defined else c }}", "c", "a"),
        ("{{ 'x' if a is defined and a > 3 else 'y' }}", "", "a"),
        ("{{ 'x' if a is not defined or a > 3 else 'y' }}", "", "a"),
        ("{{ a if a is defined or b else 'y' }}", "b", "a"),
        ("{{ a if a is defined and b is defined else 'y' }}", "", "a b"),
    ],
)
def test_a_template_knows_its_names(source, needed, optional):
    template = Template(source)
    assert (template.names, template.optional) == (set(needed.split()), set(optional.split()))


# --- what is wrong with them ------------------------------------------------------------------------------------------

BRACES = "(for braces as text write {{ '{{' }})"
ONLY = "only names, filters, comparisons, ~ and if can be used here"
FILTER_NAMES = (
    "basename, default, first, join, last, lower, pad, parent, replace, slug, stem, title, trim, truncate, upper"
)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ a }", f"is not a valid template: unexpected '}}' {BRACES}"),
        ("a\n{{ (b }}", f"is not a valid template in line 2: unexpected '}}', expected ')' {BRACES}"),
        ("{{", f"is not a valid template: unexpected 'end of template' {BRACES}"),
        ("{{ a | slugg }}", f"unknown filter 'slugg' (did you mean 'slug'? there are: {FILTER_NAMES})"),
        ("{{ a | pad }}", "the filter is written pad(width)"),
        ("{{ a | slug(3) }}", "slug takes no argument"),
        ("{{ a | pad('4') }}", "pad(...) takes a whole number from 0 to 100"),
        ("{{ a | pad(999999999) }}", "pad(...) takes a whole number from 0 to 100"),
        ("{% for x in y %}{{ x }}{% endfor %}", f"no loops: {ONLY}"),
        ("{{ a.upper() }}", f"no calls: {ONLY}"),
        ("{{ a if range(9) else b }}", f"no calls: {ONLY}"),
        ("{{ a + b }}", f"no + (write ~ to join texts): {ONLY}"),
        ("{{ 'a' * 999 }}", f"no arithmetic: {ONLY}"),
        ("{{ -a }}", f"no arithmetic: {ONLY}"),
        ("{{ a[1:] }}", f"no slices [:]: {ONLY}"),
        ("{{ {'a': 1} }}", f"no mappings {{...}}: {ONLY}"),
        ("{% set a = 1 %}{{ a }}", f"no {{% set %}}: {ONLY}"),
        ("{% include 'a' %}{{ a }}", ONLY),
        ("{% macro a() %}{{ b }}{% endmacro %}", ONLY),
        ("{% filter upper %}{{ a }}{% endfilter %}", ONLY),
        ("{{ a | lower(*b) }}", f"no *: {ONLY}"),
        ("{{ 1e400 | upper }}", "holds a number that is too large"),
        ("{{ a is defined(1) }}", "'is defined' takes no argument"),
        ("{{ a is odd }}", "'is odd' is not a test here; there is 'is defined'"),
        ("{{ a if b }}", "if inside {{ }} needs an else: {{ a if b else c }}"),
        ("{{ a.__class__ }}", "'__class__': parts whose names start with _ cannot be used"),
        ("{{ a['__class__'] }}", "'__class__': parts whose names start with _ cannot be used"),
        ("{{ " + "9" * 5000 + " }}", "holds a number with too many digits"),
        ("{{ " + "(" * 3000 + "a", "is nested too deeply"),
        ("{{ a" + " | lower" * 3000 + " }}", "is nested too deeply"),
    ],
    ids=range(30),
)
def test_a_wrong_template_is_known_before_anything_is_filled_in(source, message):
    with pytest.raises(TemplateFault) as caught:
        Template(source)
    assert str(caught.value) == message


NAMED = "there are: blank, city, colours, half, n, no, nothing, path, size, yes"
OR_DEFAULT = "; | default('...') sets what to write where it is missing"
WHOLE_LIST = "colours is a list: name an item, such as colours[0], or write colours | join(', ')"
CELLS = "cells of csv and txt are text: write '3' for 3"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ citty }}", f"there is no variable 'citty' (did you mean 'city'? {NAMED})"),
        ("{{ citty | slug }}", f"there is no variable 'citty' (did you mean 'city'? {NAMED})"),
        ("{{ self | slug }}", f"there is no variable 'self' ({NAMED}){OR_DEFAULT}"),
        ("{{ nothing }}", "nothing is empty (null); | default('...') sets what to write instead"),
        ("{{ nothing | upper }}", "nothing is empty (null); | default('...') sets what to write instead"),
        ("{{ size }}", "size is a mapping: name a part of it, such as size.width"),
        ("{{ size.depth | lower }}", "size.depth is a mapping: name a part of it, such as size.depth.unit"),
        ("{{ colours }}", WHOLE_LIST),
        ("{{ colours | join(city) ~ colours }}", WHOLE_LIST),
        ("{{ size.widht }}", "a mapping has no 'widht' (did you mean 'width'? there are: depth, items, width)"),
        ("{{ colours[9] }}", "a list has no 9"),
        ("{{ city.upper }}", "text has no 'upper'"),
        ("{{ nothing.x }}", "empty (null) has no 'x'"),
        ("{{ city | join }}", "join takes a list; this is text"),
        ("{{ blank | first }}", "first: the list is empty"),
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
    big = "x" * 60_000
    assert Template("{{ big }}").render({"big": big}) == big
    assert fault(source, {"big": big}) == "becomes longer than 100,000 characters"


# --- the way past Jinja -----------------------------------------------------------------------------------------------

PIECES = ["a", " ", "\n", "\r\n", "{", "}", "}}", "{ x }", "%}", "#}", "{{ city }}", "{{n}}", "{{ yes}}", "{{ true }}"]
#: This makes any template more than plain names.
NOT_PLAIN = "{{ '' | trim }}"


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_plain_names_give_the_text_that_jinja_gives(source):
    def rendered(template):
        try:
            return Template(template).render(VALUES)
        except TemplateFault:
            return None

    text = rendered(source + " ")
    if is_template(source) and text is not None:
        assert f"{text}" == rendered(f"{source} {NOT_PLAIN}")
