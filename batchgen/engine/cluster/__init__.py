"""Cluster: carries single attempts out on other machines; the job database, the limits and the ledger stay here.

- ``call``: what travels between the driver (the ``batchgen run``) and its workers: plain data, no keys, no images.
- ``worker``: the far side, a shell around the same executor as here; idempotent by attempt id.
- ``marker``: the small file that a worker writes beside the images of an attempt.
- ``link``: the driver's view of one worker: its heartbeat, its clock, the permits that it asks for.
- ``search``: finds what became of a call whose worker was lost, or whose driver was.
- ``backend``: the backend that hands attempts to workers and collects their outcomes.
- ``ray_backend``: the workers as actors of Ray; no other module imports it.

A request goes out only with a permit of the driver, which is asked for on the open connection: the limits hold by the
time of writing, as they do locally, and a call without a permit was certainly not sent.
"""
