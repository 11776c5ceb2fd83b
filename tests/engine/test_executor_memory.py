"""What a reader holds in memory while it waits for the disk: the images, and no longer the answer they came in."""

from __future__ import annotations

from batchgen.engine import executor
from batchgen.engine.executor import Executor
from batchgen.engine.readers import Readers
from batchgen.files import output
from batchgen.files.source_cache import SourceCache
from batchgen.files.spool import Spool
from batchgen.job import Delivered
from batchgen.providers.presets import profile
from batchgen.transport import Transport

from .test_executor_limits import at_once, order, sandbox  # noqa: F401 - a fixture


class Body(bytes):
    """A body that records its end."""

    freed = 0

    def __del__(self) -> None:
        Body.freed += 1


async def test_answer_is_freed_before_its_images_are_synced(sandbox, tmp_path, monkeypatch):  # noqa: F811
    freed: list[int] = []
    publish, decompressed = output.publish, executor.decompressed

    def refuse(error: OSError) -> None:
        raise error

    def observe(*arguments: object, **options: object) -> None:
        freed.append(Body.freed)
        publish(*arguments, **options)

    monkeypatch.setattr(output, "publish", observe)
    monkeypatch.setattr(executor, "decompressed", lambda body, headers: Body(decompressed(body, headers)))
    spool, profiles = Spool(tmp_path / "spool"), {"openai": profile("openai", {"base_url": sandbox.base_url("openai")})}
    async with Transport(profiles, {"openai": "sk-test-1234"}) as transport:
        readers = Readers(1)
        doer = Executor(
            transport=transport,
            spool=spool,
            inputs=SourceCache(tmp_path / "inputs", spool, transport),
            root=tmp_path,
            readers=readers,
            alarm=refuse,
        )
        assert isinstance(await doer.run(order("openai", tmp_path, 7), at_once), Delivered)
        readers.close()
    assert freed == [1]
