"""A simulated run: what is known of it."""

from __future__ import annotations

import numpy as np

from jbc.data import simulate_run


def test_the_seed_decides_and_pools_are_alike():
    one, other = simulate_run(0), simulate_run(0)
    np.testing.assert_array_equal(one.x, other.x)
    assert (simulate_run(1).x != one.x).all()
    pool = one.clean[np.asarray(one.control)]
    np.testing.assert_array_equal(pool, np.broadcast_to(pool[0], pool.shape))
    assert (np.bincount(np.unique(one.domain, return_inverse=True)[1]) == 100).all()


def test_without_noise_drift_is_all_there_is():
    world = simulate_run(0, noise=0, outliers=0)
    np.testing.assert_allclose(world.x, world.clean * world.drift, rtol=1e-5)
    flat = simulate_run(0, drift=0, batch=0, noise=0, outliers=0)
    np.testing.assert_allclose(flat.x, flat.clean, rtol=1e-5)


def test_it_is_smooth_and_as_large_as_asked():
    world = simulate_run(0, n_per_domain=200, batch=0)
    curve = np.log(world.drift[:200])
    assert np.abs(np.diff(curve, n=2, axis=0)).max() < 1e-3
    assert 0.1 < np.log(world.drift).std() < 0.3
    assert world.to_anndata().obs["control"].sum() == int(np.asarray(world.control).sum())
