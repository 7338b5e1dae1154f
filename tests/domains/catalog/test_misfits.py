"""What a connector file gets wrong although the meta-schema accepts it."""

import pytest


def rename(document):
    document["x-catalog"]["name"] = "gitlab"


def default_variant(document):
    document["x-catalog"]["default_variant"] = "other"


def required(document):
    document["required"].append("nothing")


def group(document):
    document["properties"]["start_date"]["x-group"] = "elsewhere"


def variant(document):
    document["properties"]["start_date"]["x-variants"] = ["nobody"]


def setting_of_variant(document):
    document["properties"]["start_date"]["x-setting-by-variant"] = {"nobody": None}


def bad_default(document):
    document["properties"]["backoff_max_tries"]["default"] = 99


def untagged(document):
    document["properties"]["what"]["oneOf"][1]["properties"].pop("by")
    document["properties"]["what"]["oneOf"][1]["required"].remove("by")


def same_tag(document):
    document["properties"]["what"]["oneOf"][1]["properties"]["by"]["const"] = "repositories"


def default_branch(document):
    document["properties"]["what"]["default"] = {"by": "moon"}


def half_secret(document):
    secret = {"title": "Names", "type": "string", "format": "password", "writeOnly": True}
    plain = {"title": "Names", "type": "string"}
    document["properties"]["what"]["oneOf"][0]["properties"]["names"] = secret
    document["properties"]["what"]["oneOf"][1]["properties"]["names"] = plain


def check_url(document):
    document["x-checks"][0]["url"] = "{nowhere}/rate_limit"


def check_token(document):
    document["x-checks"][1]["token_field"] = "auth.key"


def token_url(document):
    document["properties"]["auth"]["oneOf"][0]["x-token"] = {"grant": "password", "url": "{domane}/token"}


def inside_an_object(document):
    document["properties"]["proxy"] = {
        "title": "Proxy",
        "type": "object",
        "additionalProperties": False,
        "required": ["port"],
        "properties": {},
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (rename, "/x-catalog/name: is 'gitlab', but the file is github.json."),
        (default_variant, "/x-catalog/default_variant: 'other' is none of the variants."),
        (required, "/required: 'nothing' is none of the properties."),
        (group, "/properties/start_date/x-group: 'elsewhere' is none of the groups."),
        (variant, "/properties/start_date/x-variants: 'nobody' is none of the variants."),
        (setting_of_variant, "/properties/start_date/x-setting-by-variant: 'nobody' is none of the variants."),
        (bad_default, "/properties/backoff_max_tries/default: Tries per call: 99 is more than 20."),
        (
            untagged,
            "/properties/what/oneOf/1/properties/by: is missing or has no constant: nothing tells this branch.",
        ),
        (same_tag, "/properties/what/oneOf: 2 branches have the tag 'repositories'."),
        (default_branch, "/properties/what/default: chooses none of the branches."),
        (half_secret, "/properties/what/names: is a secret in one branch and not in another."),
        (check_url, "/x-checks/0: the address names {nowhere}, which is none of the fields."),
        (check_token, "/x-checks/1/token_field: 'auth.key' is none of the fields."),
        (token_url, "/properties/auth (token): the address names {domane}, which is none of the fields."),
        (inside_an_object, "/properties/proxy/required: 'port' is none of the properties."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_points_nowhere_is_named_with_the_place(edited, change, reason):
    catalog = edited("github", change)
    assert [file.reasons for file in catalog.broken] == [(reason,)]
