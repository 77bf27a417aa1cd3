from benchmarks.batch import memory
from benchmarks.support import command_line


def test_document_shows_the_command_without_places_of_files(monkeypatch):
    places = ["--folder", "/home/me/records", "--docs=/tmp/x.md"]
    monkeypatch.setattr("sys.argv", [memory.__file__, *places, "--records=3", "--docs", "a"])
    assert command_line.used() == "python -m benchmarks.batch.memory --records=3"
