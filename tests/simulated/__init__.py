"""Nights in seconds: the real runner, limits and job table against simulated providers, on a clock that jumps.

``clock`` is the event loop, ``server`` a provider with its own log, ``backend`` sets it in the place of transport,
``night`` puts a run together, ``witness`` judges by the servers' logs alone, ``scenarios`` are the nights that matter.
"""
