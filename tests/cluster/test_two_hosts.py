"""A batch on two hosts in network namespaces: speed, and everything that can happen between them, in short form."""

from __future__ import annotations

import pytest

from . import scenes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_calls_go_out_from_both_hosts(tmp_path):
    scenes.both_hosts(tmp_path, jobs=60, in_flight=20, latency=1)


def test_killed_worker_loses_no_call_of_the_other_host(tmp_path):
    scenes.worker_killed(tmp_path, in_flight=60, latency=20)


def test_link_down_for_seconds_loses_no_call(tmp_path):
    scenes.link_down(tmp_path, jobs=200, in_flight=20, latency=3, seconds=5, dies=False)


def test_stopped_worker_releases_no_burst(tmp_path):
    scenes.worker_stopped(tmp_path, rate=30, seconds=20, stopped=6)


def test_killed_driver_finds_its_calls_again(tmp_path):
    scenes.driver_killed(tmp_path, in_flight=60, latency=20)
