"""The breaker of a cluster: one dead worker is no reason to stop, and one that dies over and over is."""

from __future__ import annotations

from batchgen.engine.cluster.losses import Losses


def test_losses_allow_the_death_of_a_worker_with_hundreds_of_calls():
    losses = Losses()
    assert [losses.record_loss("w-0", 10.0 + number / 100) for number in range(500)] == [None] * 500


def test_losses_stop_a_run_whose_workers_die_over_and_over():
    losses = Losses()
    for number in range(100):
        losses.record_answer(number / 10)
    assert losses.record_loss("w-0", 11.0) is None
    assert losses.record_loss("w-1", 12.0) is None
    assert losses.record_loss("w-0", 13.0) is None, "the same loss as two seconds before"
    why = losses.record_loss("w-0", 31.0)
    assert why is not None
    assert "3 times within a minute" in why
    assert "4 of 104 calls" in why


def test_losses_are_forgotten_after_a_minute_and_small_beside_many_answers():
    losses = Losses()
    for worker in ("w-0", "w-1"):
        losses.record_loss(worker, 0.0)
    assert losses.record_loss("w-2", 61.0) is None
    many = Losses()
    for _ in range(1000):
        many.record_answer(1.0)
    assert [many.record_loss(worker, 2.0) for worker in ("w-0", "w-1", "w-2")] == [None] * 3
