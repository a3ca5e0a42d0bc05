"""The network for texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TextNet(nn.Module):
    """Hashed runs of bytes, embedded and pooled: subwords of any language, without a vocabulary.

    Sources: P. Bojanowski et al., Enriching word vectors with subword information (2017); A. Joulin
    et al., Bag of tricks for efficient text classification (2017); K. Weinberger et al., Feature
    hashing for large scale multitask learning (2009).

    Args:
        max_bytes: bytes of a text.
        outputs: numbers to answer with.
        width_factor: multiple of the standard 24 figures per run.
        dropout: probability of dropping a pooled feature.
    """

    _RUNS = (1, 3, 4, 6)
    _BUCKETS = 8192
    _WIDTH, _HIDDEN = 24, 64

    def __init__(
        self, max_bytes: int, outputs: int, width_factor: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        width = max(8, round(self._WIDTH * width_factor / 4) * 4)
        self._runs = tuple(run for run in self._RUNS if run <= max_bytes)
        self.tables = nn.ModuleList(nn.Embedding(self._BUCKETS, width) for _ in self._runs)
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]
        self.head = nn.Sequential(
            nn.LayerNorm(2 * width * len(self._runs)), nn.Dropout(dropout),
            nn.Linear(2 * width * len(self._runs), self._HIDDEN), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(self._HIDDEN, outputs),
        )  # fmt: skip

    def forward(self, byte_NL: Tensor) -> Tensor:
        """Return outputs (N, outputs) of bytes, int64, zero where there is no text."""
        pooled = []
        for run, table in zip(self._runs, self.tables, strict=True):
            bucket_NR, known_NR = self._hashed(byte_NL, run)
            h_NRW = table(bucket_NR) * known_NR.unsqueeze(2)
            count = known_NR.sum(dim=1, keepdim=True)
            # The mean says what a text is about; the maximum finds the one telling word.
            pooled += [h_NRW.sum(dim=1) / (count + 1.0).sqrt(), h_NRW.amax(dim=1)]
        out: Tensor = self.head(torch.cat(pooled, dim=1))
        return out

    def _hashed(self, byte_NL: Tensor, run: int) -> tuple[Tensor, Tensor]:
        """Return the bucket of each run of bytes, and 1 where all its bytes are of the text."""
        last = byte_NL.shape[1] - run + 1
        code, known = torch.zeros_like(byte_NL[:, :last]), torch.ones_like(byte_NL[:, :last])
        for place in range(run):
            at = byte_NL[:, place : place + last]
            # A prime below 2**31: products of the hash stay within int64, on every runtime.
            code = torch.remainder(code * 257 + at + 1, 2_147_483_629)
            known = known * (at > 0).to(known.dtype)
        return torch.remainder(code * 40_503, self._BUCKETS), known.to(torch.float32)
