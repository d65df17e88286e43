from __future__ import annotations

import pytest

from joulegram.analysis.quality import guess_better


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("val_acc", "higher"),
        ("test/accuracy", "higher"),
        ("MulticlassAccuracy", "higher"),
        ("BinaryF1Score", "higher"),
        ("auroc", "higher"),
        ("val_loss", "lower"),
        ("top1_error", None),
        ("perplexity", "lower"),
        ("valMSE", "lower"),
        ("vaccines", None),
        ("temperature", None),
    ],
)
def test_a_metrics_words_tell_which_is_better(name: str, better: str | None) -> None:
    assert guess_better(name) == better
