"""The nearest motif is the nearest, on data where flat searches fail too."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from kcomplexity import assign_blocks
from kcomplexity.errors import SpecError
from kcomplexity.mosaics import assign
from kcomplexity.mosaics.assign import (
    _by_faiss,
    _by_matrix,
    _by_tree,
    distances,
    engine,
    nearest,
    nearest_roughly,
)

KINDS = (
    *("normal", "offset", "far", "quantised", "duplicated", "constant", "tiny", "heavy"),
    *("wide", "spiked"),
)


def data(kind, m, s, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, s))
    found = {
        "normal": x,
        "offset": 1 + 0.001 * x,
        "far": 0.01 * x + 1000 * rng.integers(0, 2, (m, 1)),
        "quantised": rng.integers(-2, 3, (m, s)),
        "duplicated": x[rng.integers(0, min(3, m), m)],
        "constant": np.full((m, s), 0.3),
        "tiny": 1e-30 * x,
        "heavy": rng.standard_cauchy((m, s)) ** 3,
        "wide": x * 10.0 ** rng.integers(-12, 13, (m, 1)),
        "spiked": np.where(rng.random((m, 1)) < 0.05, 1e14, 1e-6) * x,
    }[kind]
    return found.astype(np.float32)


def plain(blocks, motifs):
    """All squared distances, in float64."""
    gap = blocks[:, None].astype(np.float64) - motifs[None]
    return np.square(gap).sum(axis=2)


@settings(deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 60),
    st.integers(1, 30),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_it_is_within_a_millionth_of_the_smallest_distance_by_any_engine(kind, m, k, s, seed):
    blocks = data(kind, m, s, seed)
    motifs = np.concatenate([blocks[: max(m // 2, 1)], data(kind, k, s, seed + 1)])
    least = plain(blocks, motifs).min(axis=1)
    unique = np.unique(motifs, axis=0)
    found = {
        "tree": distances(blocks, unique, _by_tree(blocks, unique, 2)),
        "matrix": distances(blocks, unique, _by_matrix(blocks, unique, 2)),
        "public": distances(blocks, motifs, nearest(blocks, motifs)),
    }
    for squared in found.values():
        assert (squared <= least * (1 + 1e-6)).all()


@pytest.mark.parametrize(("kind", "s"), [("normal", 16), ("offset", 4), ("far", 16), ("tiny", 4)])
def test_many_blocks_in_several_pieces_are_exact_for_any_number_of_threads(kind, s):
    blocks = data(kind, 66_000, s, 0)
    motifs = blocks[:: 66_000 // 90]
    indices, squared = assign_blocks(blocks, motifs, threads=1)
    again, _ = assign_blocks(blocks, motifs, threads=2)
    assert np.array_equal(indices, again)
    some = np.r_[0:300, 65_400:65_700, 65_800:66_000]
    exact = plain(blocks[some], motifs)
    assert (exact[np.arange(some.size), indices[some]] <= exact.min(axis=1) * (1 + 1e-6)).all()
    assert np.allclose(squared[some], exact.min(axis=1), rtol=1e-6, atol=1e-40)


@pytest.mark.parametrize("size", [1e-16, 1e-19, 1e-22])
def test_tiny_motifs_beside_a_large_block_are_distinguished(size):
    rng = np.random.default_rng(0)
    blocks = (size * rng.normal(size=(300, 16))).astype(np.float32)
    blocks[0] = 1
    motifs = (size * rng.normal(size=(200, 16))).astype(np.float32)
    exact = plain(blocks, motifs)
    found = assign_blocks(blocks, motifs)[0]
    assert (exact[np.arange(300), found] <= exact.min(axis=1) * (1 + 1e-6)).all()


@pytest.mark.parametrize("s", [4, 64])
def test_the_rough_search_is_the_same_for_any_number_of_threads(s):
    """Of many ties, which rounding decides; wide products are cut by the threads of a library."""
    blocks = np.where(np.random.default_rng(0).random((40_000, s)) < 0.5, -1, 1).astype("f4")
    found = [_by_faiss(blocks, blocks[:700], threads) for threads in (1, 2, 8)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_every_piece_of_the_rough_search_is_its_own(monkeypatch):
    blocks, motifs = data("normal", 1000, 8, 0), data("normal", 50, 8, 1)
    whole = _by_faiss(blocks, motifs, 2)
    monkeypatch.setattr(assign, "_FAISS_QUERY", 300)
    monkeypatch.setattr(assign, "_FAISS_LEAST", 8)
    assert np.array_equal(_by_faiss(blocks, motifs, 2), whole)
    assert np.array_equal(whole, plain(blocks, motifs).argmin(axis=1))


def test_one_motif_far_off_leaves_few_candidates(monkeypatch):
    blocks = data("normal", 500, 8, 0)
    motifs = data("normal", 60, 8, 1)
    motifs[5] *= 1e6
    seen = []
    lexsort = np.lexsort

    def counted(keys):
        seen.append(keys[0].size)
        return lexsort(keys)

    monkeypatch.setattr(np, "lexsort", counted)
    found = _by_matrix(blocks, motifs, 1)
    assert np.array_equal(found, plain(blocks, motifs).argmin(axis=1))
    assert sum(seen) < 100


def test_the_callers_limit_of_blas_stays():
    def threads():
        found = [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
        return sorted(found)

    before = threads()
    blocks, motifs = data("normal", 20_000, 8, 0), data("normal", 300, 8, 1)
    with ThreadPoolExecutor(3) as pool:
        for _ in pool.map(lambda _: _by_matrix(blocks, motifs, 1), range(6)):
            pass
    assert threads() == before


def test_the_callers_number_of_threads_stays():
    faiss = pytest.importorskip("faiss")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(5)
    _by_faiss(data("normal", 400, 8, 0), data("normal", 150, 8, 1), 2)
    assert faiss.omp_get_max_threads() == 5
    faiss.omp_set_num_threads(before)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_identical_motifs_go_to_the_lowest_index(seed, s):
    rng = np.random.default_rng(seed)
    motifs = rng.integers(-1, 2, (20, s)).astype(np.float32)
    motifs[3] = -0.0
    indices, _ = assign_blocks(rng.normal(size=(50, s)), motifs)
    for i in indices:
        assert not (motifs[:i] == motifs[i]).all(axis=1).any()


def test_a_height_is_a_price():
    blocks = np.array([[0.0], [1.0]], np.float32)
    motifs = np.array([[0.0], [1.0]], np.float32)
    for engine_of in (nearest, nearest_roughly):
        assert engine_of(blocks, motifs, np.array([0, 0.9], np.float32)).tolist() == [0, 1]
        assert engine_of(blocks, motifs, np.array([0, 1.1], np.float32)).tolist() == [0, 0]


@given(st.sampled_from(["normal", "offset"]), st.integers(0, 2**32 - 1), st.sampled_from([3, 12]))
@settings(max_examples=20, deadline=None)
def test_the_rough_search_is_nearly_as_good(kind, seed, s):
    blocks, motifs = data(kind, 400, s, seed), data(kind, 40, s, seed + 1)
    rough = distances(blocks, motifs, _by_faiss(blocks, motifs, 2)).sum()
    assert rough <= plain(blocks, motifs).min(axis=1).sum() * (1 + 1e-4)


@pytest.mark.parametrize(
    ("m", "k", "engine"),
    [(1000, 900, "_exactly"), (50_000, 900, "_by_faiss"), (50_000, 3, "_exactly")],
)
def test_the_rough_search_is_left_to_faiss_where_that_pays(monkeypatch, m, k, engine):
    asked = []
    monkeypatch.setattr(assign, engine, lambda *_: asked.append(engine))
    nearest_roughly(data("normal", m, 8, 0), data("normal", k, 8, 1))
    assert asked == [engine]


def test_both_engines_have_their_place():
    assert engine(4, 20_000) == "tree"
    assert engine(16, 256) == "matrix"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_an_interrupted_lookup_leaves_no_thread_at_work():
    blocks, motifs = data("normal", 1 << 16, 12, 0), data("normal", 20_000, 12, 1)
    _by_tree(blocks[:100], motifs, 2)  # what is imported is there
    before = set(threading.enumerate())
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        _by_tree(blocks, motifs, 2)
    left = set(threading.enumerate()) - before
    assert not {thread for thread in left if not isinstance(thread, threading.Timer)}


@pytest.mark.parametrize("s", [1510, 2048])
def test_blocks_may_have_thousands_of_weights(s):
    blocks, motifs = data("normal", 20, s, 0), data("normal", 3, s, 1)
    expected = plain(blocks, motifs).argmin(axis=1)
    assert np.array_equal(assign_blocks(blocks, motifs)[0], expected)
    assert np.array_equal(nearest_roughly(blocks, motifs), expected)


@pytest.mark.parametrize(
    ("blocks", "motifs", "message"),
    [
        (np.zeros((3, 4)), np.zeros((2, 5)), "the same s and at least one motif"),
        (np.zeros((3, 4)), np.zeros((0, 4)), "the same s and at least one motif"),
        (np.zeros(3), np.zeros((2, 1)), "expected two axes"),
        (np.full((1, 1), np.nan), np.zeros((1, 1)), "blocks .* finite"),
        (np.zeros((1, 1)), np.full((1, 1), np.inf), "motifs .* finite"),
    ],
)
def test_what_does_not_fit_is_refused(blocks, motifs, message):
    with pytest.raises(SpecError, match=message):
        assign_blocks(blocks, motifs)
