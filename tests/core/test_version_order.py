import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model_spec import OnnxModel
from pipeline.core.version_order import (
    Look,
    StoredFile,
    WatchTarget,
    next_look,
    versions,
    watch_targets,
)

FOLDERS = WatchTarget("gs://b/clf/*", ("clf",))
MARKED = WatchTarget("gs://b/clf/*", ("clf",), complete_marker="_SUCCESS")
MANIFESTS = WatchTarget("gs://b/releases/*.json")
SETTLE_SECS = 30


def file(name, updated_us=1_000, fingerprint="g1", base="gs://b/clf"):
    return StoredFile(f"{base}/{name}", 100, updated_us, fingerprint)


class Looker:
    """Looks again and again, `SETTLE_SECS` apart unless told otherwise."""

    def __init__(self, target):
        self._target, self._look, self._now = target, Look(), 0

    def __call__(self, *files, after_secs=SETTLE_SECS):
        self._now += after_secs
        self._look, candidate = next_look(
            self._target, self._look, files, now_secs=self._now, settle_secs=SETTLE_SECS
        )
        return candidate and (candidate.manifest_uri or candidate.models["clf"])

    @property
    def settling(self):
        return self._look.settling


@pytest.fixture
def looker():
    return Looker(FOLDERS)


@given(
    st.sets(st.integers(0, 120), min_size=1).flatmap(
        lambda numbers: st.permutations(sorted(numbers))
    ),
    st.data(),
)
def test_highest_number_is_newest_whatever_the_order_and_the_times(numbers, data):
    times = data.draw(st.lists(st.integers(0, 9), min_size=len(numbers), max_size=len(numbers)))
    form = data.draw(st.sampled_from(["{}/model.onnx", "v{}/model.onnx", "{}.onnx"]))
    files = [file(form.format(n), time) for n, time in zip(numbers, times, strict=True)]
    files.append(file("notes.txt", 99))
    look = Looker(FOLDERS)
    proposed = [look(*files), look(*files)]
    newest = f"gs://b/clf/{form.format(max(numbers)).removesuffix('/model.onnx')}"
    assert newest in proposed
    assert look(*reversed(files)) is None


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 50)), min_size=1, max_size=6))
def test_proposals_of_growing_numbers_have_growing_sequences(arrivals):
    files, previous, look = [], None, Look()
    for position, (step, time) in enumerate(arrivals):
        number = sum(step for step, _ in arrivals[: position + 1])
        files.append(file(f"{number}.onnx", time))
        look, candidate = next_look(FOLDERS, look, files, now_secs=position, settle_secs=1)
        assert candidate.models == {"clf": f"gs://b/clf/{number}.onnx"}
        assert previous is None or candidate.sequence_us > previous.sequence_us
        assert candidate.sequence_us >= time
        previous = candidate


def test_ten_comes_after_nine_and_dotted_numbers_part_by_part(looker):
    assert looker(file("9.onnx", 7), file("10.onnx", 5)) == "gs://b/clf/10.onnx"
    dotted = (file("10.2.onnx"), file("10.10.onnx"), file("10.9.1.onnx"))
    assert looker(*dotted) == "gs://b/clf/10.10.onnx"


def test_without_numbers_the_last_modified_is_newest_and_numbers_outrank_it(looker):
    assert looker(file("b.onnx", 5), file("a.onnx", 7)) == "gs://b/clf/a.onnx"
    assert looker(file("b.onnx", 8), file("a.onnx", 7)) == "gs://b/clf/b.onnx"
    assert looker(file("b.onnx", 8), file("1.onnx", 2)) == "gs://b/clf/1.onnx"
    assert looker(file("b.onnx", 9), file("1.onnx", 2)) is None


def test_folder_without_marker_is_not_picked_up_while_it_changes(looker):
    graph, weights = file("8/saved_model.pb"), file("8/variables/data")
    assert looker(graph) is None
    assert looker.settling
    assert looker(graph, weights) is None
    assert looker(graph, file("8/variables/data", fingerprint="g2")) is None
    assert looker(graph, weights) is None
    assert looker(graph, weights) == "gs://b/clf/8"
    assert not looker.settling
    assert looker(graph, weights) is None


def test_looks_in_quick_succession_do_not_make_a_folder_complete(looker):
    graph = file("8/saved_model.pb")
    for _ in range(5):
        assert looker(graph, after_secs=1) is None
    assert looker(graph, after_secs=SETTLE_SECS - 4) == "gs://b/clf/8"


def test_marker_makes_a_folder_complete_at_the_first_look():
    look = Looker(MARKED)
    model = file("8/model.onnx", 50)
    for _ in range(3):
        assert look(model, file("9.onnx", 99)) is None
        assert not look.settling
    assert look(model, file("8/_SUCCESS", 51)) == "gs://b/clf/8"


def test_beside_marked_folders_files_are_no_versions():
    found = versions(MARKED, [file("8/model.onnx"), file("9.onnx")])
    assert [version.uri for version in found] == ["gs://b/clf/8"]


def test_marker_older_than_another_file_is_not_trusted_before_the_folder_settles():
    look = Looker(MARKED)
    marker = file("8/_SUCCESS", 51)
    assert look(file("8/model.onnx", 50), marker) == "gs://b/clf/8"
    overwritten = file("8/model.onnx", 60, "g2")
    assert look(overwritten, marker) is None
    assert look.settling
    assert look(overwritten, marker) == "gs://b/clf/8"


def test_older_complete_version_is_used_while_a_newer_one_is_incomplete(looker):
    seven, eight = file("7/model.onnx"), file("8/model.onnx")
    looker(seven)
    assert looker(seven, eight) == "gs://b/clf/7"
    assert looker(seven, eight) == "gs://b/clf/8"


def test_local_file_counts_once_it_stopped_growing():
    look = Looker(WatchTarget("m/*", ("clf",)))
    assert look(file("7.onnx", fingerprint="1 byte", base="m")) is None
    assert look(file("7.onnx", fingerprint="2 bytes", base="m")) is None
    assert look(file("7.onnx", fingerprint="2 bytes", base="m")) == "m/7.onnx"


def test_overwritten_file_is_a_new_version_with_another_id():
    ids = []
    look = Look()
    for generation in ("g1", "g1", "g2", "g2"):
        listed = [file("model.onnx", fingerprint=generation)]
        look, candidate = next_look(FOLDERS, look, listed, now_secs=0, settle_secs=SETTLE_SECS)
        ids.append(candidate and candidate.candidate_id)
    assert ids[0] != ids[2]
    assert (ids[1], ids[3]) == (None, None)
    again = next_look(FOLDERS, Look(), [file("model.onnx")], now_secs=9, settle_secs=SETTLE_SECS)
    assert again[1].candidate_id == ids[0]


def test_file_that_was_put_back_with_its_old_time_is_new_as_well(looker):
    assert looker(file("model.onnx", 9, "g1")) == "gs://b/clf/model.onnx"
    assert looker(file("model.onnx", 5, "g0")) == "gs://b/clf/model.onnx"


def test_object_with_the_name_of_a_folder_does_not_count(looker):
    inside = file("8/model.onnx")
    looker(inside, file("8", 1, "g1"))
    assert looker(inside, file("8", 2, "g2")) == "gs://b/clf/8"


def test_deleting_or_rewriting_older_versions_proposes_nothing(looker):
    assert looker(file("7.onnx", 1), file("8.onnx", 2)) == "gs://b/clf/8.onnx"
    assert looker(file("7.onnx", 1)) is None
    assert looker(file("7.onnx", 9, "g2")) is None
    assert looker() is None
    assert looker(file("9.onnx", 3)) == "gs://b/clf/9.onnx"


def test_manifests_are_files_and_propose_whole_releases():
    look = Looker(MANIFESTS)
    listed = [file(name, base="gs://b/releases") for name in ("r9.json", "r12.json", "13.json/x")]
    assert look(*listed) == "gs://b/releases/r12.json"
    assert look(*listed) is None


LISTING = st.permutations([file("8/a"), file("8/b"), file("7/a"), file("x"), file("9/")])


@given(LISTING, LISTING, LISTING)
def test_order_of_the_listing_means_nothing(first, second, third):
    look = Looker(FOLDERS)
    proposed = [look(*files) for files in (first, second, third)]
    assert proposed == ["gs://b/clf/x", "gs://b/clf/8", None]


def model(name, watch, complete_marker=None):
    return OnnxModel(
        name=name,
        framework="onnx",
        uri=f"models/{name}.onnx",
        inputs={"x": "pixels"},
        outputs={"y": name},
        watch=watch,
        complete_marker=complete_marker,
    )


def test_models_with_the_same_pattern_change_together():
    targets = watch_targets(
        [
            model("embed", "gs://b/e/*"),
            model("fixed", None),
            model("other", "gs://b/e/*", "_SUCCESS"),
            model("classify", "gs://b/e/*"),
        ],
        "gs://b/releases/*.json",
    )
    assert targets == (
        WatchTarget("gs://b/e/*", ("embed", "classify")),
        WatchTarget("gs://b/e/*", ("other",), "_SUCCESS"),
        WatchTarget("gs://b/releases/*.json"),
    )
    _, candidate = next_look(
        targets[0], Look(), [file("7.onnx", base="gs://b/e")], now_secs=0, settle_secs=1
    )
    assert candidate.models == dict.fromkeys(["embed", "classify"], "gs://b/e/7.onnx")
