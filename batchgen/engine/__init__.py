"""Engine: sends the due jobs of a batch to their providers, within limits and budgets.

The way of one job:

1. ``runner`` keeps a task per lane. It takes the first due job from a ``backlog``, a page of the job database: the
   lane's own provider's, or one to fail over from a provider that is out of order.
2. The lane waits for its turn (``limits.gate``: aiolimiter spaces, the sliding windows hold the limit, the learned
   rate joins in), and the budgets are asked. Nothing is awaited between these checks and the reservation.
3. ``attempts`` reserves the money, claims the job in the job database, and hands the attempt to the backend.
4. ``executor`` is that backend: it carries the dialect's conversation over the transport, every paid answer into a
   spool slot first, and publishes the images. Right before the request is written it awaits its ``clearance``, which
   asks the limits once more. It returns an outcome.
5. ``lane`` records the outcome: its gates learn from it, and its ``breaker`` (with ``streaks``) may pause or close it.
6. ``retry`` turns the outcome into an event; the store commits it together with the ledger entry, and only then is
   the spool slot released. A job that is pending again returns to its backlog.
"""
