"""Detectors of open libraries as they are, installed apart: their own pins would hold ours back.

frouros 0.9.0, torchdrift 0.1.0.post1 and menelaus 0.2.0 run on this project's NumPy, SciPy and
PyTorch without the packages that they pin. alibi-detect 0.13 wants NumPy 1 and transformers, and
NannyML 0.13 estimates and does not test a window as one: neither is here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Score = Callable[[NDArray[np.float64]], float]

HOME = (Path(".mlops/bench") / "drift").resolve()
PACKAGES = ("frouros==0.9.0", "torchdrift==0.1.0.post1", "menelaus==0.2.0")
FROUROS, TORCHDRIFT, MENELAUS = "frouros MMD", "torchdrift kernel MMD", "menelaus HDDDM"
SLOW = (TORCHDRIFT, MENELAUS)
"""Those that take 10 to 30 ms a window: asked of every fourth round of windows only."""


def install() -> None:
    """Install the libraries where this benchmark looks for them; once."""
    if (HOME / ".ready").exists():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
        words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(HOME), *PACKAGES]
        subprocess.run([f"{place}/bin/python", *words], check=True, capture_output=True)
    (HOME / ".ready").touch()


def prepare(reference: NDArray[np.float64]) -> dict[str, Score]:
    """Make each library's detector ready for a reference; none where they are not installed.

    Args:
        reference: (N, D), standardised, as their users would.
    """
    if not (HOME / ".ready").exists():
        return {}
    if str(HOME) not in sys.path:
        sys.path.append(str(HOME))  # after ours: what both have stays ours
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from frouros.detectors.data_drift import MMD
        from torchdrift.detectors import KernelMMDDriftDetector

        mmd = MMD()
        mmd.fit(X=reference)
        kernel = KernelMMDDriftDetector(n_perm=1)  # its p-value is not asked for
        kernel.return_p_value = False
        kernel.fit(torch.tensor(reference, dtype=torch.float32))
    return {
        FROUROS: lambda window: float(mmd.compare(X=window)[0].distance),
        TORCHDRIFT: lambda window: float(kernel(torch.tensor(window, dtype=torch.float32))),
        MENELAUS: lambda window: _hdddm(reference, window),
    }


def _hdddm(reference: NDArray[np.float64], window: NDArray[np.float64]) -> float:
    """Return the Hellinger distance of histograms, as the first batch after a reference has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from menelaus.data_drift import HDDDM

        detector: Any = HDDDM(detect_batch=1)
        detector.set_reference(reference)
        detector.update(window)
    return float(detector.current_distance)
