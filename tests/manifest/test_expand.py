"""One row to requests: n and per_request, and the ids they get."""

from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.expand import key_of, portions
from batchgen.manifest.filenames import stems


@given(st.integers(1, 200), st.one_of(st.none(), st.integers(1, 20)))
def test_portions_add_up_and_raising_n_keeps_what_is_full(n, per_request):
    counts = portions(n, per_request)
    assert sum(counts) == n
    assert max(counts) <= (per_request or 1)
    full = [count for count in counts if count == (per_request or 1)]
    assert portions(n + 1, per_request)[: len(full)] == tuple(full)


@given(st.integers(1, 60), st.integers(1, 9))
def test_no_two_requests_of_a_row_write_one_file(n, per_request):
    first, files = 0, []
    for count in portions(n, per_request):
        files += stems(key_of("x", first), count)
        first += count
    assert len(set(files)) == len(files) == n
