"""The notebooks are whole and clean; that they run is checked where they are executed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w/.:])/(home|Users|root|tmp|work|mnt|opt)/|[A-Z]:\\\\")


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01-first-look",
        "02-real-tower",
        "03-choosing-a-model",
        "04-the-paper",
        "05-what-the-data-can-tell",
        "06-buckets",
    ]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> dict:
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_format(notebook: dict) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert {cell["cell_type"] for cell in notebook["cells"]} == {"markdown", "code"}
    assert notebook["cells"][0]["cell_type"] == "markdown"
    assert "".join(notebook["cells"][0]["source"]).startswith("# ")
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_no_output_is_stored(notebook: dict) -> None:
    """Outputs go stale and hide changes in a diff: whoever wants them runs the notebook."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_code_compiles_and_names_no_path_of_a_machine(notebook: dict) -> None:
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        assert not MACHINE_PATH.search(source)
        if cell["cell_type"] == "code":
            compile(source, cell["id"], "exec")
