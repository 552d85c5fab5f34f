"""Fixtures of the tests of the stores."""

import pytest

from tests.support.history import HistoryPlace
from tests.support.keyspace import Keyspace
from tests.support.services import postgres_database


@pytest.fixture
def stores(keyspace: Keyspace) -> HistoryPlace:
    return HistoryPlace(postgres_database(), keyspace)
