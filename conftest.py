"""Tests marked slow download or take minutes: they run only when `-m` names them (`pytest -m slow`)."""

from importlib.util import find_spec

# What is imported by those who have flax, and by nobody else.
collect_ignore = [] if find_spec("flax") else ["w2v_embed/matrix/_padded_embed.py"]


def pytest_collection_modifyitems(config, items):
    if "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
