"""What a provider would refuse is said before money is spent; what is checked is what is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.providers.presets import PRESET_NAMES, profile
from batchgen.providers.profile import Profile
from batchgen.providers.sizes import fit_size, pixels
from batchgen.providers.validation import OPTIONAL, check, deadline, wire_fields
from batchgen.task import Kind, Source, Task

GEMINI = "gemini-3.1-flash-image"
PICTURE = Source(path="/x/a.png", mime="image/png", size_bytes=1000)


def provider(name: str) -> Profile:
    return profile(name, {"base_url": "https://gw.example.com"} if name in ("gateway", "azure") else None)


def task(**fields: Any) -> Task:
    return Task(**{"kind": Kind.GENERATE, "prompt": "a cat", "provider": "p", "model": "gpt-image-2", **fields})


def edit(**fields: Any) -> Task:
    return task(**{"kind": Kind.EDIT, "images": (PICTURE,), **fields})


def sent(name: str, **fields: Any) -> dict[str, Any]:
    order, spoken = task(**fields), provider(name)
    _, model = spoken.find(order.model)
    rules = model.rules(order.kind)
    assert rules is not None
    assert check(order, spoken) == ()
    return wire_fields(order, model, rules)


@pytest.mark.parametrize(
    ("name", "order", "field", "words"),
    [
        ("gptimageapi", edit(), "images", "cannot edit"),
        ("gateway", edit(), "images", "cannot edit"),
        ("aigate", task(model="gpt-imag-2"), "model", "no model"),
        ("aigate", task(moderation="low"), "moderation", "takes no moderation"),
        ("aimlapi", edit(moderation="low"), "moderation", "takes no moderation"),
        ("aimlapi", task(resolution="2k"), "resolution", "takes no resolution"),
        ("aigate", task(model=GEMINI, quality="high"), "quality", "takes no quality"),
        ("aigate", task(model=GEMINI, size="1:1"), "size", "takes no size"),
        ("openai", task(seed=7), "seed", "takes no seed"),
        ("openai", task(quality="hihg"), "quality", "hihg"),
        ("openai", task(quality="xhigh"), "quality", "xhigh"),
        ("aimlapi", task(n=2), "n", "at most 1"),
        ("openai", task(n=11), "n", "at most 10"),
        ("openai", task(n=0), "n", "at least 1"),
        ("openai", task(prompt="  "), "prompt", "empty"),
        ("openai", task(prompt="a\0b"), "prompt", "NUL"),
        ("openai", task(prompt="a\ud800b"), "prompt", "Unicode"),
        ("openai", task(prompt="x" * 32_001), "prompt", "32001"),
        ("openai", edit(images=()), "images", "at least one"),
        ("openai", edit(images=(PICTURE,) * 17), "images", "17 images"),
        ("openai", edit(images=(Source(path="/b.png", size_bytes=60_000_000),)), "images", "60.0 MB"),
        ("openai", edit(images=(Source(path="/b.gif", mime="image/gif"),)), "images", "image/gif"),
        ("aigate", edit(mask=PICTURE), "mask", "takes no mask"),
        ("openai", task(mask=PICTURE), "mask", "needs an image"),
        ("openai", edit(mask=Source(path="/m.jpg", mime="image/jpeg")), "mask", "image/jpeg"),
        ("openai", edit(mask=Source(path="/m.png", size_bytes=5_000_000)), "mask", "5.0 MB"),
        ("openai", task(background="transparent", output_format="jpg"), "background", "JPEG"),
        ("openai", task(output_compression=50), "output_compression", "png"),
        ("openai", task(output_compression=50, output_format="png"), "output_compression", "png"),
        ("openai", task(output_compression=101, output_format="webp"), "output_compression", "0 to 100"),
        ("openai", task(extra={"stream": True}), "extra", "stream"),
        ("openai", task(extra={"n": 3}), "extra", "'n'"),
        ("openai", task(extra={"response_format": "url"}), "extra", "response_format"),
    ],
)
def test_misfits(name: str, order: Task, field: str, words: str) -> None:
    misfits = check(order, provider(name))
    assert [misfit.field for misfit in misfits] == [field]
    assert words in misfits[0].message


def test_every_misfit_is_reported_at_once() -> None:
    fields = [misfit.field for misfit in check(task(prompt="", size="7x7", seed=1, n=99), provider("openai"))]
    assert sorted(fields) == ["n", "prompt", "seed", "size"]


def test_misfits_have_hints() -> None:
    assert check(task(model="gpt-imag-2"), provider("aigate"))[0].hint == "write model: gpt-image-2"
    assert check(task(quality="hihg"), provider("openai"))[0].hint == "did you mean 'high'?"
    assert "1536x1024" in check(task(size="1600x1000"), provider("aimlapi"))[0].hint
    assert "4:3" in check(task(size="1184x864"), provider("gptimageapi"))[0].hint
    assert "992x1008" in check(task(size="1000x1000"), provider("openai"))[0].hint or "1008x1008" in (
        check(task(size="1000x1000"), provider("openai"))[0].hint
    )


@pytest.mark.parametrize(
    ("name", "size", "goes"),
    [
        ("openai", "1024x1024", "1024x1024"),
        ("openai", " 1024 X 1024 ", "1024x1024"),
        ("openai", "auto", "auto"),
        ("openai", "2048x880", "2048x880"),
        ("openai", "3840x2160", "3840x2160"),
        ("openai", "1024x640", "1024x640"),
        ("aigate", "auto", None),
        ("aimlapi", "auto", None),
        ("aimlapi", "1536x1024", "1536x1024"),
        ("gateway", None, "1024x1024"),
        ("gateway", "auto", "1024x1024"),
        ("gptimageapi", "1024x1024", "1:1"),
        ("gptimageapi", "4:3", "4:3"),
        ("gptimageapi", "8:6", "4:3"),
        ("gptimageapi", "1920x1080", "16:9"),
        ("gptimageapi", "1080x1920", "9:16"),
        ("gptimageapi", "9:21", "9:21"),
        ("gptimageapi", None, None),
    ],
)
def test_sizes(name: str, size: str | None, goes: str | None) -> None:
    assert sent(name, size=size).get("size") == goes


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("openai", "512x512"),  # fewer than 655,360 pixels
        ("openai", "1000x1000"),  # not divisible by 16
        ("openai", "3856x1616"),  # edge too long
        ("openai", "3840x3840"),  # too many pixels
        ("openai", "3840x1264"),  # beyond 3:1
        ("openai", "0x0"),
        ("openai", "16:9"),
        ("openai", "large"),
        ("openai", "999999x1"),
        ("aimlapi", "2048x2048"),
        ("aimlapi", "3:2"),
        ("gptimageapi", "1000x999"),
        ("gptimageapi", "0:1"),
        ("gptimageapi", "5:4"),
    ],
)
def test_bad_sizes(name: str, size: str) -> None:
    misfits = check(task(size=size), provider(name))
    assert [misfit.field for misfit in misfits] == ["size"]
    assert misfits[0].hint or size == "large"


@given(width=st.integers(0, 9999), height=st.integers(0, 9999))
def test_the_size_suggested_is_one_that_is_taken(width: int, height: int) -> None:
    for name in ("openai", "aimlapi", "gptimageapi"):
        for misfit in check(task(size=f"{width}x{height}"), provider(name)):
            better = misfit.hint.rpartition(" ")[2]
            assert check(task(size=better), provider(name)) == (), (width, height, misfit)


def test_only_what_was_set_goes_out() -> None:
    assert sent("openai") == {"model": "gpt-image-2"}
    assert sent("aimlapi") == {"model": "openai/gpt-image-2"}
    assert sent("aigate") == {"model": "openai/gpt-image-2", "n": 1}
    assert sent("openai", n=3)["n"] == 3
    assert sent("openai", extra={"user": "u", "x": [1]}) == {"model": "gpt-image-2", "user": "u", "x": [1]}


def test_values_go_out_as_the_provider_spells_them() -> None:
    assert sent("openai", quality="HIGH", output_format="JPG", output_compression=80) == {
        "model": "gpt-image-2",
        "quality": "high",
        "output_format": "jpeg",
        "output_compression": 80,
    }
    assert sent("openrouter", model=GEMINI, resolution="2k")["resolution"] == "2K"
    assert sent("aigate", resolution="2K")["resolution"] == "2k"


def test_auto_means_leave_it_to_the_provider() -> None:
    auto = {"quality": "auto", "size": "auto", "background": "auto", "moderation": "auto"}
    assert sent("gptimageapi", **auto) == {"model": "gpt-image-2", "n": 1}
    assert sent("openai", **auto) == {"model": "gpt-image-2", **auto}


@pytest.mark.parametrize("name", PRESET_NAMES)
@given(
    quality=st.sampled_from([None, "low", "high", "auto", "odd"]),
    size=st.sampled_from([None, "1024x1024", "16:9", "auto", "7"]),
    output_format=st.sampled_from([None, "png", "jpeg"]),
    background=st.sampled_from([None, "transparent", "auto"]),
    n=st.integers(1, 12),
)
def test_what_is_checked_is_what_is_sent(name: str, **fields: Any) -> None:
    spoken = provider(name)
    model_name, model = spoken.find()
    order = task(model=model_name, **fields)
    rules = model.rules(order.kind)
    assert rules is not None
    body = wire_fields(order, model, rules)
    names = {rules.names.get(name, name): name for name in ("n", "size", *OPTIONAL)}
    assert set(body) <= {"model", *names, *rules.sends}
    body = {names[name]: value for name, value in body.items() if name in names}
    for field in OPTIONAL:
        if field in body:
            assert body[field] in rules.values.get(field, (body[field],))
    if not check(order, spoken):
        assert body.get("n", 1) == order.n
        for field in ("quality", "output_format", "background"):
            said = fields[field]
            assert body.get(field) == said or said == "auto"


def test_pixels_and_fitted_size() -> None:
    rules = profile("openai").find()[1].generate
    assert rules is not None
    assert fit_size("1024x1024", rules.size, "openai")[0] == "1024x1024"
    assert fit_size("nonsense", rules.size, "openai")[0] is None
    assert (pixels("10x20"), pixels("16:9"), pixels(None)) == (200, None, None)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 360),
        ({"quality": "medium", "size": "1536x1024"}, 360),
        ({"quality": "high"}, 600),
        ({"size": "2048x2048"}, 600),
        ({"resolution": "4K"}, 600),
    ],
)
def test_deadline(fields: dict[str, Any], seconds: float) -> None:
    assert deadline(task(**fields), provider("openai")) == seconds
    assert deadline(task(**fields), profile("openai", {"timeout": {"total": 42}})) == 42
