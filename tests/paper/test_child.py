"""A hostile document ends by its own limits, and the process that asked goes on."""

import asyncio
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.errors import HubError, Unavailable
from hub.paper import child, read
from hub.paper.model import Outcome

Pdf = Callable[..., bytes]
TIGHT = child.Limits(cpu_seconds=1, wall_seconds=30.0)


def exponential(pdf: Pdf, stream: Pdf) -> bytes:
    """2.5 KB: ten form XObjects, each drawing the next ten times."""
    levels = 10
    forms = [
        stream(
            b"/X Do " * 10 if level < levels - 1 else b"0 0 1 1 re f",
            f"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X {level + 6} 0 R>>>>",
        )
        for level in range(levels)
    ]
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>",
        stream(b"/X Do " * 10),
        *forms,
    )


def operators(pdf: Pdf, stream: Pdf, count: int = 3_000_000) -> bytes:
    """About 120 KiB that unpack to three million fills."""
    page = stream(zlib.compress(b"0 0 500 500 re f\n" * count, 9), "/Filter/FlateDecode")
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>",
        page,
    )


@pytest.mark.parametrize("bomb", [exponential, operators])
async def test_a_bomb_is_too_complex_and_the_next_file_is_read(
    bomb: Callable[[Pdf, Pdf], bytes], pdf: Pdf, stream: Pdf, printed: bytes
):
    data = bomb(pdf, stream)
    assert len(data) < 200_000
    found = await read.inspect_in_child(data, TIGHT)
    assert (found.outcome, found.reason) == (Outcome.TOO_COMPLEX, "SIGXCPU")
    assert found.words.zh == "文件过于复杂，无法检查。"
    assert (await read.inspect_in_child(printed)).outcome is Outcome.FOUND


async def test_the_clock_on_the_wall_counts_too(pdf: Pdf, stream: Pdf):
    found = await read.inspect_in_child(exponential(pdf, stream), child.Limits(wall_seconds=0.6))
    assert (found.outcome, found.reason) == (Outcome.TOO_COMPLEX, "wall time")


async def test_memory_is_limited(printed: bytes):
    found = await read.inspect_in_child(printed, child.Limits(memory_bytes=120 * 2**20))
    assert found.outcome is Outcome.TOO_COMPLEX


async def test_a_huge_page_is_drawn_small(pdf: Pdf):
    data = pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 14400 14400]>>",
    )
    found = await read.inspect_in_child(data)
    assert (found.outcome, found.reason) == (Outcome.NOT_OURS, "no_attachment")


async def test_deep_nesting_and_lying_counts_end_in_an_answer(pdf: Pdf):
    nested = pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"[" * 200_000 + b"]" * 200_000)
    lying = pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 2000000000/Kids[2 0 R]>>")
    for data in (nested, lying):
        found = await read.inspect_in_child(data)
        assert found.outcome in {Outcome.NOT_OURS, Outcome.TOO_COMPLEX, Outcome.TOO_LARGE}


async def test_an_answer_without_end_is_cut_off(printed: bytes):
    with pytest.raises(child.TooComplex) as spent:
        await child.run("inspect", printed, child.Limits(output_bytes=100))
    assert spent.value.facts["why"] == "output"


async def test_a_child_that_breaks_is_our_fault_not_the_files():
    with pytest.raises(HubError) as broken:
        await child.run("render", b"not a face")
    assert (broken.value.kind, broken.value.code) == ("internal", "paper.child_failed")


async def test_a_full_queue_says_so(monkeypatch: pytest.MonkeyPatch, printed: bytes):
    monkeypatch.setattr(child, "QUEUE", 2)
    asked = [asyncio.create_task(read.inspect_in_child(printed)) for _ in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert refused
    assert {answer.code for answer in refused} == {"paper.busy"}
    assert len(refused) < 8


async def test_a_caller_that_goes_away_leaves_no_child_behind(pdf: Pdf, stream: Pdf):
    task = asyncio.create_task(read.inspect_in_child(exponential(pdf, stream)))
    while not children():  # noqa: ASYNC110 - another process: nothing here can set an event
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


def children() -> list[str]:
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in own if b"hub.paper.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_the_child_sees_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch, printed: bytes):
    monkeypatch.setenv("YIMEN_SECRET", "hidden")
    task = asyncio.create_task(read.inspect_in_child(printed))
    seen = b""
    while not task.done():
        for pid in children():
            seen += Path(f"/proc/{pid}/environ").read_bytes()
        await asyncio.sleep(0.01)
    await task
    assert b"LANG" in seen
    assert b"YIMEN_SECRET" not in seen
