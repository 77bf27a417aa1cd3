"""Models that tests name as `uri: tests.support.steps:Class`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, np.ndarray]


class Affine:
    """The affine model of :mod:`tests.support.models`, from a file or a folder with it."""

    def load(self, path: Path) -> None:
        file = path / "weights.npz" if path.is_dir() else path
        with np.load(file) as found:
            self.weights, self.bias = found["weights"], found["bias"]

    def predict(self, columns: Columns) -> Any:
        return {"y": columns["x"] @ self.weights + self.bias}


class Shout:
    """Needs no files."""

    def load(self, path: Path) -> None:
        self.path = path
        self.closed = False

    def predict(self, columns: Columns) -> Any:
        if "boom" in columns["text"]:
            raise ValueError("a text says boom")
        return {"shout": [text.upper() + "!" for text in columns["text"]]}

    def close(self) -> None:
        self.closed = True


class Returns:
    """Returns what its test says."""

    value = None

    def load(self, path: Path) -> None:
        pass

    def predict(self, columns: Columns) -> Any:
        return self.value


class Overwrites(Returns):
    """Works in place on what other models read, too."""

    def predict(self, columns: Columns) -> Any:
        columns["x"] += 1
        return columns


class Keeps(Returns):
    """Writes each result into the array that it keeps: the whole, or one row after the other."""

    def load(self, path: Path) -> None:
        self.out = np.zeros(100)

    def predict(self, columns: Columns) -> Any:
        out = self.out[: len(columns["x"])]
        np.multiply(columns["x"], 10, out=out)
        return {"y": out, "rows": list(out[:, np.newaxis])}


class KeepsRows(Keeps):
    """Returns a mapping for each row."""

    def predict(self, columns: Columns) -> Any:
        kept = super().predict(columns)["rows"]
        return [{"y": row, "rows": row} for row in kept]


class Hungry(Returns):
    """Asks for a petabyte."""

    def predict(self, columns: Columns) -> Any:
        return {"y": np.zeros((len(columns["x"]), 2**40))}


class Cramped(Returns):
    """Has memory for ten rows."""

    def predict(self, columns: Columns) -> Any:
        if len(columns["x"]) > 10:
            raise MemoryError(f"{len(columns['x'])} rows")
        return {"y": columns["x"].sum(axis=1)}


class NeedsArguments(Returns):
    def __init__(self, size: int) -> None:
        self.size = size


class Unloadable(Returns):
    def load(self, path: Path) -> None:
        raise RuntimeError("no licence for this")


class Wordless:
    def load(self, path: Path) -> None:
        pass


class Fails(Returns):
    """Fails on rows that hold a 99."""

    def predict(self, columns: Columns) -> Any:
        if (columns["x"] == 99).any():
            self.fail()
        return {"y": columns["x"][:, :3]}

    def fail(self) -> None:
        raise ValueError("a row holds a 99")


class Picky(Returns):
    """Computes each row by itself; some make it raise, of others it makes NaN."""

    RAISES, NAN = 5.0, 7.0

    @staticmethod
    def one(x: Any) -> Any:
        return 2.0 * x[0] - x[2]

    def predict(self, columns: Columns) -> Any:
        x = columns["x"].astype(np.float64)
        if (x[:, 0] == self.RAISES).any():
            raise ValueError("a row begins with 5")
        y = 2.0 * x[:, 0] - x[:, 2]
        y[x[:, 1] == self.NAN] = np.nan
        return {"y": y}


class Kills(Fails):
    """Kills its process there."""

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def function() -> Affine:
    return Affine()


class Watched:
    """Notes beside its version what becomes of it; an output row is (process, rows of the call)."""

    def load(self, path: Path) -> None:
        self.path = path
        self.weights = np.random.default_rng(1).normal(size=(150, 150))
        self._note("loaded")

    def predict(self, columns: Columns) -> Any:
        rows = len(columns["x"])
        if (columns["x"] < 0).any():
            raise ValueError("a row is negative")
        np.linalg.svd(self.weights)  # milliseconds, in which others come
        return {"y": np.tile([os.getpid(), rows], (rows, 1))}

    def close(self) -> None:
        self._note("closed")

    def _note(self, event: str) -> None:
        with (self.path.parent / "events").open("a") as file:
            file.write(f"{event} {self.path.name} {os.getpid()}\n")


class Echo(Returns):
    """Returns what it was given behind what it makes of it."""

    def predict(self, columns: Columns) -> Any:
        return {"more": columns["x"] + 1, "same": columns["x"]}


class Centred(Returns):
    """Gives a row what depends on its batch."""

    def predict(self, columns: Columns) -> Any:
        return {"y": columns["x"] - columns["x"].mean(axis=0)}


class CentredAbove100(Returns):
    """The same, for large values only."""

    def predict(self, columns: Columns) -> Any:
        x = columns["x"]
        return {"y": np.where(x > 100, x - x.mean(axis=0), x)}


class Prices(Returns):
    """Takes prices beyond 1 only, which no made-up row holds."""

    def predict(self, columns: Columns) -> Any:
        if (columns["x"] <= 1).any():
            raise ValueError("a price must be above 1")
        return {"y": columns["x"].sum(axis=1)}


class Finds:
    """For each row as many boxes as it says, as detectors do: a list with one mapping a row."""

    def load(self, path: Path) -> None:
        pass

    def predict(self, columns: Columns) -> Any:
        return [
            {
                "boxes": np.arange(4 * n, dtype="float32").reshape(n, 4) / 8,
                "names": [f"thing {i}" for i in range(n)],
                "count": n,
            }
            for n in columns["x"].astype(int).tolist()
        ]


class Parses(Returns):
    """Reads whole records by itself: JSON here, but nobody else knows."""

    def predict(self, columns: Columns) -> Any:
        return {"length": [len(raw) for raw in columns["raw"]], "same": columns["raw"]}


class HalfPairs:
    """Text with half of a surrogate pair, in what it returns or in what it says."""

    def load(self, path: Path) -> None:
        pass

    def predict(self, columns: Columns) -> Any:
        for text in columns["text"]:
            if text == "raise":
                raise ValueError("cannot read '\ud83d'")
        special = {"half": "a\ud83d", "none": None}
        return {"told": [special.get(text, text) for text in columns["text"]]}


class Deadly:
    """An affine model whose file names what happens at its load or its first call."""

    def load(self, path: Path) -> None:
        when, _, self.what = path.read_text().partition(" ")
        self.when = when
        if when == "load":
            self.happen()

    def predict(self, columns: Columns) -> Columns:
        if self.when == "call":
            self.happen()
        weight = float(self.what) if self.when == "good" else 1.0
        return {"y": columns["x"] * np.float32(weight)}

    def happen(self) -> None:
        if self.what.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.what])
        elif self.what == "loop":
            while True:
                pass
        elif self.what == "memory":
            kept = []
            while True:
                kept.append(b"x" * (64 << 20))
        elif self.what == "exit":
            os._exit(3)
        elif self.what == "sys.exit":
            sys.exit(0)
        elif self.what == "thread":
            threading.Thread(target=threading.Event().wait).start()
        elif self.what == "answers":  # what the parent reads is not what it expects
            for name in ("progress", "answer", "output"):
                place = Path(sys.argv[1]) / name
                place.unlink(missing_ok=True)
                os.mkfifo(place)
            os._exit(0)
        elif self.what == "lines":
            (Path(sys.argv[1]) / "progress").write_text('[]\n1\n{"model": 3}\n\n' + "[" * 100_000)
            os._exit(4)
        elif self.what == "panic":
            raise Panic("index out of bounds")
        elif self.what == "raise":
            raise ValueError("of no use")
        elif self.what == "child":
            os.system(f"{sys.executable} -c 'import signal; signal.pause()' &")
            os.kill(os.getpid(), signal.SIGSEGV)


class Panic(BaseException):
    """As PyO3 raises for a panic in Rust: no Exception."""
