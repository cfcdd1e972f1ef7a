"""What every test is given."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _leave_the_users_cache_alone(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KCOMPLEXITY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
