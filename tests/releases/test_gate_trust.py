"""What a candidate brings is judged before a framework reads it, also in the trial."""

from tests.releases.test_gate_precision import WholeEnsemble
from tests.support import models
from tests.support.gating import Bench


def test_candidate_that_would_write_a_file_is_rejected_and_writes_none(tmp_path):
    ensemble = WholeEnsemble(tmp_path)
    bench = Bench(ensemble, load=ensemble.managers.loader)
    marker = tmp_path / "marker"
    try:
        models.torchscript_that_writes(ensemble.path("clf", 2), marker)
        (event,) = bench.propose(ensemble.candidate(clf=2))
    finally:
        bench.close()
    assert event.outcome == "rejected"
    assert "calls save (line" in event.reason
    assert "`trusted: true`" in event.reason
    assert not marker.exists()
