"""Keys of the cache: short, and never the same for two things."""

from hypothesis import given
from hypothesis import strategies as st

from vwed_grpc.cache.keys import KeySpace

names = st.lists(
    st.text(alphabet=st.sampled_from("a:%25A3é\n"), max_size=4), min_size=2, max_size=4
)


@given(names, names)
def test_different_names_have_different_keys(one: list[str], other: list[str]) -> None:
    space = KeySpace(1, "db")
    assert (space.key(*one) == space.key(*other)) == (one == other)


@given(names)
def test_spaces_are_apart(name: list[str]) -> None:
    spaces = [(1, "db"), (2, "db"), (1, "db:def"), (1, "")]
    assert len({KeySpace(*space).key(*name) for space in spaces}) == len(spaces)


def test_a_key_can_be_read() -> None:
    key = KeySpace(3, "7f3a").key("entry", "plant-1", "run:1", "größe")
    assert key == "vwed:3:7f3a:entry:plant-1:run%3A1:größe"
