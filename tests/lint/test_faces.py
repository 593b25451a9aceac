"""What a room shows to others is said once, sorted, and is there."""

import importlib
import pkgutil

import pytest

import storeroom

PACKAGES = sorted(found.name for found in pkgutil.iter_modules(storeroom.__path__, "storeroom.") if found.ispkg)


@pytest.mark.parametrize("name", ["storeroom", *PACKAGES])
def test_a_face_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    shown = getattr(module, "__all__", None)
    if shown is None:
        assert not [each for each in vars(module) if not each.startswith("_") and isinstance(vars(module)[each], type)]
        return
    assert len(shown) == len(set(shown))
    assert [each for each in shown if not hasattr(module, each)] == []
    constants, others = [n for n in shown if n.isupper()], [n for n in shown if not n.isupper() and n != "__version__"]
    assert constants == sorted(constants)
    assert [n for n in others if n[0].isupper()] == sorted(n for n in others if n[0].isupper())
    assert [n for n in others if not n[0].isupper()] == sorted(n for n in others if not n[0].isupper())


def test_what_is_not_there_is_said_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = storeroom.Nothing  # type: ignore[attr-defined]
