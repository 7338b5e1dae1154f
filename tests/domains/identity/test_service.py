from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.domains.identity import service
from orchestrator.domains.identity.errors import UnknownOrganizationError


def test_an_organization_comes_with_a_default_workspace(database):
    place = service.ensure(database, "acme")
    assert (place.organization, place.workspace) == ("acme", "default")
    assert service.find(database, "acme") == place


def test_making_it_again_answers_the_same(database):
    assert service.ensure(database, "acme") == service.ensure(database, "acme")


def test_two_makers_at_once_end_with_one_organization(database):
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: service.ensure(database, "acme"), range(8)))
    assert len(set(places)) == 1
    assert service.organization_ids(database) == [places[0].org_id]


def test_an_unknown_name_says_how_to_create_it(database):
    with pytest.raises(UnknownOrganizationError) as caught:
        service.find(database, "nobody")
    assert "orchestrator init" in caught.value.hint
    assert caught.value.exit_code == 3
