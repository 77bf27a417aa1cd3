"""sentence-transformers' `encode`, in an environment of its own: once for each line that it reads.

Its arguments are the folder of a model, a JSON file of texts, the file for the embeddings, and the
number of threads. For each line it prints seconds by the clock and of the processor.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer


def main() -> None:
    folder, texts, embeddings, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    rows = json.loads(Path(texts).read_text())
    for _ in sys.stdin:
        began, used = time.perf_counter(), time.process_time()
        found = model.encode(rows, show_progress_bar=False)
        took = (time.perf_counter() - began, time.process_time() - used)
        np.save(embeddings, found)
        print(*took, flush=True)


if __name__ == "__main__":
    main()
