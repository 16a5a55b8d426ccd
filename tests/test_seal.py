"""A change of a sealed file is detected."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sedmtl.runtime.documents import CHECKSUM, sealed, unsealed

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
CONTENT = st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1), PLAIN, max_size=5)


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(CONTENT.filter(lambda content: CHECKSUM not in content))
def test_sealed_json_is_opened_again(content):
    assert unsealed(json.loads(json.dumps(sealed(content)))) == content


def test_sealed_yaml_is_opened_again():
    content = {"alpha": 0.001, "lr": 1e-3, "name": "on", "classes": ["Türglocke", "1e3"], "n": 3}
    assert unsealed(yaml.safe_load(yaml.safe_dump(sealed(content)))) == content


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(fold=2),
        lambda content: content.pop("fold"),
        lambda content: content.update(more=0),
        lambda content: content.pop(CHECKSUM),
        lambda content: content.update({CHECKSUM: "0" * 64}),
        lambda content: content["classes"].reverse(),
    ],
)
def test_any_change_is_detected(change):
    content = sealed({"fold": 1, "classes": ["a", "b"]})
    change(content)
    with pytest.raises(ValueError, match="its checksum does not match"):
        unsealed(content)


def test_the_order_of_keys_does_not_matter():
    assert unsealed(dict(reversed(sealed({"a": 1, "b": 2}).items()))) == {"a": 1, "b": 2}
