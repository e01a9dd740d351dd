"""Vectors of a corpus, written to an .npy file as they come, so that neither memory nor a kill is a limit."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np


class NpyWriter:
    """Writes rows to `PATH.part` and, when all are there, renames it to `PATH`.

    `PATH.part.json` says how many rows are safe and of which texts and settings they are: the next run with the same
    texts and settings goes on behind them.

    Args:
        path: of the .npy file.
        width: of a row.
        settings: what the vectors depend on, a dict for JSON.
    """

    def __init__(self, path, width, settings):
        self._path, self._width = Path(path), width
        self._settings = json.loads(json.dumps(settings))
        self._part = self._path.with_name(self._path.name + ".part")
        self._state = self._path.with_name(self._path.name + ".part.json")
        self._texts, self._expected = b"", ""
        self.rows = self._resume()
        self._file = self._part.open("r+b" if self.rows else "wb")
        self._file.write(_header(self.rows, width))
        self._file.seek(0, os.SEEK_END)

    def _resume(self):
        """Return the number of rows that an earlier run left."""
        if not (self._part.is_file() and self._state.is_file()):
            return 0
        state = json.loads(self._state.read_text("utf-8"))
        if state["settings"] != self._settings:
            changed = [key for key in self._settings if state["settings"].get(key) != self._settings[key]]
            raise ValueError(
                f"{self._part} was begun with other settings ({', '.join(changed)}): "
                f"delete it to begin anew, or repeat these: {state['settings']}."
            )
        end = len(_header(0, self._width)) + state["rows"] * self._width * 4
        if self._part.stat().st_size < end:
            raise ValueError(f"{self._part} is shorter than {self._state.name} says: delete both to begin anew.")
        os.truncate(self._part, end)
        self._expected = state["texts"]
        return state["rows"]

    def skip(self, texts):
        """Take note of the texts whose rows an earlier run wrote; they must be the same."""
        for text in texts:
            self._note(text)
        if self._texts.hex() != self._expected:
            raise ValueError(
                f"{self._part} was begun with other texts: its first {self.rows} are not these. "
                "Delete it to begin anew."
            )

    def write(self, texts, vectors):
        """Append the rows of some texts."""
        for text in texts:
            self._note(text)
        self._file.write(np.ascontiguousarray(vectors, "<f4"))
        self._file.flush()
        self.rows += len(vectors)
        state = {"rows": self.rows, "texts": self._texts.hex(), "settings": self._settings}
        temporary = self._state.with_name(self._state.name + ".new")
        temporary.write_text(json.dumps(state), "utf-8")
        temporary.replace(self._state)

    def _note(self, text):
        self._texts = hashlib.blake2b(self._texts + text.encode("utf-8"), digest_size=16).digest()

    def finish(self):
        """Complete the file, give it its name and return that."""
        self._file.seek(0)
        self._file.write(_header(self.rows, self._width))
        self._file.close()
        self._part.replace(self._path)
        self._state.unlink(missing_ok=True)
        return self._path

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()
        if not self._state.exists():
            self._part.unlink(missing_ok=True)  # finished, or without a row to go on from


def _header(rows, width):
    """The 128 bytes before the values of a float32 `.npy` file of format 1.0, of one length for any number of rows."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"
