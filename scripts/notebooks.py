"""Run the notebooks in docs/notebooks and write what came out into them; an error in one of them is one here.

    python scripts/notebooks.py [NAME …]

What went to stderr (bars, a backend's chatter) and times are left out, so that a second run changes little.
docs/notebooks/models holds what a notebook fetched.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HOME = Path(__file__).parent.parent / "docs" / "notebooks"


def run(path):
    notebook = nbformat.read(path, as_version=4)
    told = {"metadata": {"path": str(HOME)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=told).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr"
                and "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            ]
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in HOME.glob("*.ipynb")):
        print(f"{name} …", flush=True)
        run(HOME / f"{name}.ipynb")
