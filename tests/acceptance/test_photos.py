"""Photos of a shop, end to end: what arrives at the provider, what is skipped, and that libraries stay silent."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from .kit import CANARY, Workspace

TRAILERS = {"padding": bytes(100), "motion photo": b"\0\0\0\x18ftypmp42" + bytes(4000), "text": b"MotionPhoto_Data"}


def jpeg(size=(64, 48), color="red", **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


class Provider:
    """A provider that records the images it is sent and answers with the same JPEG."""

    def __init__(self, answer: bytes) -> None:
        received = self.received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append(_images_in(self.headers["content-type"], body))
                document = {"created": 1, "data": [{"b64_json": base64.b64encode(answer).decode()}]}
                content = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _images_in(kind: str, body: bytes) -> list[tuple[str, bytes]]:
    """Return media type and bytes of each image in a multipart body."""
    if "multipart" not in kind:
        return []
    boundary = kind.partition("boundary=")[2].encode()
    parts = [part.partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)]
    found = [(re.search(rb"Content-Type: (image/\w+)", head), data) for head, _, data in parts]
    return [(match[1].decode(), data.removesuffix(b"\r\n")) for match, data in found if match]


@pytest.fixture
def provider():
    running = Provider(jpeg((1024, 1024)) + TRAILERS["padding"])
    yield running
    running.close()


@pytest.fixture
def shop(tmp_path, provider):
    shop = Workspace(folder=tmp_path, env={"STUDIO_KEY": CANARY})
    yield shop
    shop.end()


def manifest(folder: Path, url: str, *lines: str, top: str = "", defaults: str = "") -> Path:
    path = folder / "m.yaml"
    studio = f'{{preset: openai, base_url: "{url}", api_key_env: STUDIO_KEY, tariff: {{usd_per_image: 0.01}}}}'
    head = f"providers: {{studio: {studio}}}\n{top}defaults: {{provider: studio, size: 1024x1024{defaults}}}\njobs:\n"
    path.write_text(head + "".join(f"  - {line}\n" for line in lines), encoding="utf-8")
    return path


def test_upright_and_converted_copies_are_what_arrives(shop, provider):
    photos = shop.folder / "ph"
    photos.mkdir()
    (photos / "flat.jpg").write_bytes(jpeg((64, 48)))
    (photos / "turned.jpg").write_bytes(jpeg((64, 48), exif=exif(6)))
    Image.new("RGB", (20, 10), "blue").save(photos / "phone.avif")
    path = manifest(shop.folder, provider.url, "{from: ph, prompt: x}", defaults=", orient: true, convert: png")
    done = shop.run("run", path, "--yes")
    assert (done.code, len(provider.received)) == (0, 3), done.err
    arrived = {Image.open(io.BytesIO(data)).size: (mime, data) for [(mime, data)] in provider.received}
    assert {size: mime for size, (mime, _) in arrived.items()} == {
        (64, 48): "image/jpeg", (48, 64): "image/jpeg", (20, 10): "image/png",
    }  # fmt: skip
    assert arrived[64, 48][1] == (photos / "flat.jpg").read_bytes()
    assert shop.run("run", path, "--yes").code == 0
    assert len(provider.received) == 3


def test_show_names_the_copy_and_reproduces_it(shop, provider):
    (shop.folder / "a.jpg").write_bytes(jpeg((64, 48), exif=exif(6)))
    job = "{id: a, prompt: x, images: a.jpg, orient: true, convert: png}"
    assert shop.run("run", manifest(shop.folder, provider.url, job), "--yes").code == 0
    assert "source    a.jpg  (sent upright)\n" in shop.run("show", "a").out
    again = shop.run("show", "a", "--as-yaml").out
    assert "orient: true" in again
    assert "convert" not in again
    [copy] = [
        Path(name)
        for name in re.findall(r"/[\w/.-]*/inputs/[\w-]*upright\.jpg", shop.run("show", "a", "--as-curl").out)
    ]
    assert copy.read_bytes() == provider.received[0][0][1]


def test_a_copy_outlives_retry_redo_and_the_loss_of_the_job_database(shop, provider):
    (shop.folder / "a.jpg").write_bytes(jpeg((64, 48), exif=exif(6)))
    path = manifest(shop.folder, provider.url, "{id: a, prompt: x, images: a.jpg, orient: true}")
    assert shop.run("run", path, "--yes").code == 0
    assert shop.run("retry", path, "--status", "done", "--with", "prompt=y", "--yes").code == 0
    assert [Image.open(io.BytesIO(data)).size for [(_, data)] in provider.received] == [(48, 64)] * 2
    for file in shop.state.glob("batchgen.db*"):
        file.unlink()
    done = shop.run("run", path, "--yes")
    assert (done.code, len(provider.received)) == (0, 2), done.err
    (shop.folder / "a.jpg").write_bytes(jpeg((64, 48), "green", exif=exif(6)))
    assert shop.run("run", path, "--yes").code == 0
    assert len(provider.received) == 3


def test_orient_makes_only_rotated_photos_changed(shop, provider):
    for name, orientation in (("flat", 1), ("turned", 8)):
        (shop.folder / f"{name}.jpg").write_bytes(jpeg((64, 48), exif=exif(orientation)))
    job = '{from: "*.jpg", prompt: x}'
    assert shop.run("run", manifest(shop.folder, provider.url, job), "--yes").code == 0
    done = shop.run("plan", manifest(shop.folder, provider.url, job, defaults=", orient: true"))
    assert "2 jobs: 1 changed, 1 done" in done.out
    assert "turned: source image turned.jpg is sent upright, and was sent as it is" in done.out.replace(
        "was as", "was sent as"
    )


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS)
def test_bytes_behind_the_end_of_a_jpeg_count_for_nothing(shop, trailer):
    provider = Provider(jpeg((1024, 1024)) + trailer)
    (shop.folder / "a.jpg").write_bytes(jpeg() + trailer)
    done = shop.run("run", manifest(shop.folder, provider.url, "{id: a, prompt: x, images: a.jpg}"), "--yes")
    provider.close()
    assert (done.code, len(provider.received)) == (0, 1), done.err
    assert provider.received[0][0][1] == (shop.folder / "a.jpg").read_bytes()
    [image] = shop.images()
    assert image.read_bytes() == jpeg((1024, 1024)) + trailer


# --- on_bad_source ----------------------------------------------------------------------------------------------------


def test_a_damaged_photo_does_not_stop_the_others(shop, provider):
    photos = shop.folder / "ph"
    photos.mkdir()
    for number in range(4):
        (photos / f"{number}.jpg").write_bytes(jpeg(color=(number * 50, 0, 0)))
    whole = (photos / "2.jpg").read_bytes()
    (photos / "2.jpg").write_bytes(whole[:200])
    job = "{from: ph, prompt: x}"
    done = shop.run("run", manifest(shop.folder, provider.url, job), "--yes")
    assert (done.code, provider.received) == (4, [])
    assert "m.yaml" not in done.err.splitlines()[0]
    assert done.err.startswith("ph/2.jpg: ")
    path = manifest(shop.folder, provider.url, job, top="on_bad_source: skip\n")
    done = shop.run("validate", path)
    assert done.code == 0
    assert "one job is skipped: ph/2.jpg is damaged: the JPEG is cut off" in done.err
    done = shop.run("plan", path)
    assert "not sent  1 skipped: ph/2.jpg is damaged" in done.out
    assert shop.run("plan", path, "--json").json["skipped"]["jobs"] == 1
    done = shop.run("run", path, "--yes")
    assert (done.code, len(provider.received)) == (3, 3), done.err
    assert "skipped   1 job: ph/2.jpg is damaged" in done.err + done.out
    assert "ran to the end; one job was skipped because of bad source images" in done.err + done.out
    assert shop.run("run", path, "--yes", "--fail-on", "never").code == 0
    assert shop.run("run", path, "--yes", "--id", "1").code == 0
    again = shop.run("run", path, "--yes", "--json")
    assert (again.code, again.json["skipped"]["jobs"], len(provider.received)) == (3, 1, 3)
    assert again.json["skipped"]["reasons"][0].startswith("ph/2.jpg is damaged")
    (photos / "2.jpg").write_bytes(whole)
    assert shop.run("run", path, "--yes").code == 0
    assert len(provider.received) == 4
    assert provider.received[-1][0][1] == whole


def test_a_photo_that_goes_bad_between_plan_and_send_costs_its_own_job_only(shop, provider):
    (shop.folder / "a.jpg").write_bytes(jpeg())
    large = Image.effect_noise((1200, 1000), 90)
    large.save(shop.folder / "b.jpg")
    whole = (shop.folder / "b.jpg").read_bytes()
    # The end marker hides the cut from everything but a decoder, which looks right before the image is sent.
    (shop.folder / "b.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    jobs = ["{id: a, prompt: x, images: a.jpg}", *(f"{{id: b{n}, prompt: '{n}', images: b.jpg}}" for n in range(6))]
    done = shop.run("run", manifest(shop.folder, provider.url, *jobs), "--yes")
    assert (done.code, len(provider.received)) == (3, 1), done.err
    assert "b.jpg: the JPEG is cut off" in done.err + done.out
    assert {row["cause"] for row in shop.rows("select cause from jobs where state = 'failed'")} == {"invalid"}
    (shop.folder / "b.jpg").write_bytes(whole)
    assert shop.run("run", manifest(shop.folder, provider.url, *jobs), "--yes").code == 0
    assert len(provider.received) == 7


# --- silence ----------------------------------------------------------------------------------------------------------


def odd_files(folder: Path) -> None:
    """Write images that make Pillow or its libraries warn."""
    image = Image.new("RGB", (32, 32), "red")
    image.save(folder / "apng.png", save_all=True, append_images=[Image.new("RGB", (32, 32), "blue")])
    data = (folder / "apng.png").read_bytes()
    at = data.index(b"acTL") - 4
    (folder / "two-actl.png").write_bytes(data[:at] + data[at : at + 20] + data[at:])
    image.save(folder / "exif.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\x7f" * 9)
    image.save(folder / "mpo.jpg", format="MPO", save_all=True, append_images=[image])
    image.convert("P").save(folder / "palette.png", transparency=bytes(range(200)))
    Image.effect_noise((90, 90), 90).save(folder / "cut.tif", compression="tiff_lzw")
    whole = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[:900] + b"\xff" * 99 + whole[999:])


def test_libraries_write_nothing_and_quiet_is_quiet(shop, provider):
    photos = shop.folder / "ph"
    photos.mkdir()
    odd_files(photos)
    top, defaults = "on_bad_source: skip\n", ", convert: png"
    job = '{from: ph, id: "{{ path }}", prompt: x}'
    path = manifest(shop.folder, provider.url, job, top=top, defaults=defaults)
    for words in (("validate", path), ("plan", path), ("run", path, "--yes"), ("-q", "retry", path, "--yes")):
        done = shop.run(*words)
        for library in ("UserWarning", "PIL", "TIFF", "LZW", "warnings.warn", "libpng"):
            assert library not in done.err + done.out
    (photos / "cut.tif").unlink()
    (shop.folder / "output").rename(shop.folder / "before")
    for words in (("-q", "validate", path), ("-q", "run", path, "--yes")):
        assert (shop.run(*words).err, shop.run(*words).out) == ("", "")


def test_a_png_without_pixels_is_refused_before_a_run(shop, provider):
    Image.new("L", (9, 9)).save(shop.folder / "a.png")
    whole = (shop.folder / "a.png").read_bytes()
    start, end = whole.index(b"IDAT") - 4, whole.index(b"IEND") - 4
    empty = b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
    job = "{id: a, prompt: x, images: a.png}"
    for damaged in (whole[:start] + whole[end:], whole[:start] + empty + whole[end:], whole[:start], whole[:20], b""):
        (shop.folder / "a.png").write_bytes(damaged)
        done = shop.run("validate", manifest(shop.folder, provider.url, job))
        assert done.code == 4
        assert re.search(r"a\.png is (damaged|empty)", done.err)


def test_names_with_odd_letters_are_three_photos(shop, provider):
    for number, name in enumerate(("x;y.png", " lead.png", "lead.png", "[a].png")):
        Image.new("RGB", (8, 8), (number * 60, 0, 0)).save(shop.folder / name)
    done = shop.run("run", manifest(shop.folder, provider.url, '{from: ., prompt: x, id: "f{{ row }}"}'), "--yes")
    assert done.code == 0, done.err
    sent = {hashlib.sha256(data).hexdigest() for [(_, data)] in provider.received}
    assert sent == {hashlib.sha256(path.read_bytes()).hexdigest() for path in shop.folder.glob("*.png")}
    assert len(sent) == 4
