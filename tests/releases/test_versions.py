import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.releases.version_rule import VersionRule, is_older
from pipeline.releases.versions import (
    Look,
    StoredFile,
    Version,
    WatchTarget,
    next_look,
    ordered,
    rule_for,
    versions,
    watch_targets,
)
from pipeline.spec.model import OnnxModel

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
        self._look, candidates = next_look(
            self._target, self._look, files, now_secs=self._now, settle_secs=SETTLE_SECS
        )
        self.told = [one.passed_over for one in candidates if one.passed_over]
        proposed = [one for one in candidates if not one.passed_over]
        return (proposed[0].manifest_uri or proposed[0].models["clf"]) if proposed else None

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
        look, (candidate,) = next_look(FOLDERS, look, files, now_secs=position, settle_secs=1)
        assert candidate.models == {"clf": f"gs://b/clf/{number}.onnx"}
        assert previous is None or candidate.sequence_us > previous.sequence_us
        assert candidate.sequence_us >= time
        previous = candidate


def test_ten_comes_after_nine_and_dotted_numbers_part_by_part(looker):
    assert looker(file("9.onnx", 7), file("10.onnx", 5)) == "gs://b/clf/10.onnx"
    dotted = (file("10.2.onnx"), file("10.10.onnx"), file("10.9.1.onnx"))
    assert looker(*dotted) == "gs://b/clf/10.10.onnx"


def test_without_numbers_the_last_modified_is_newest(looker):
    assert looker(file("b.onnx", 5), file("a.onnx", 7)) == "gs://b/clf/a.onnx"
    assert looker(file("b.onnx", 8), file("a.onnx", 7)) == "gs://b/clf/b.onnx"


def test_one_name_without_a_number_at_the_start_lets_the_time_decide(looker):
    assert looker(file("9.onnx", 7), file("notes.txt", 6), file("10.onnx", 5)) == (
        "gs://b/clf/9.onnx"
    )
    assert looker(file("9.onnx", 7), file("1.onnx", 8)) == "gs://b/clf/1.onnx"


def test_stray_name_never_turns_the_rule_over_and_is_told_once(looker):
    numbers = [file("9.onnx", 7), file("10.onnx", 5)]
    assert looker(*numbers) == "gs://b/clf/10.onnx"
    assert looker(*numbers, file("tmp/x", 50), file("0a1b2c3.onnx", 60)) is None
    assert looker.told == [
        "passed over: gs://b/clf/0a1b2c3.onnx does not fit: versions under gs://b/clf/* are told "
        "apart by the number N in 'N.onnx'"
    ]  # and the folder is not complete yet
    assert looker(*numbers, file("tmp/x", 50), file("0a1b2c3.onnx", 60)) is None
    assert len(looker.told) == 1
    assert "gs://b/clf/tmp does not fit" in looker.told[0]
    strays = [file("tmp/x", 50), file("0a1b2c3.onnx", 60)]
    assert looker(*numbers, *strays, file("11.onnx", 1)) == "gs://b/clf/11.onnx"
    assert looker.told == []


def test_hash_that_happens_to_be_digits_does_not_end_the_refresh(looker):
    hashes = [file("3f2a9c1/m", 1), file("9d04e77/m", 2)]
    looker(*hashes)
    assert looker(*hashes) == "gs://b/clf/9d04e77"
    hashes.append(file("0123456/m", 3))
    looker(*hashes)
    assert looker(*hashes) == "gs://b/clf/0123456"
    hashes.append(file("77ab01c/m", 4))
    looker(*hashes)
    assert looker(*hashes) == "gs://b/clf/77ab01c"


def test_longer_form_of_a_date_is_told_and_not_silently_missed(looker):
    assert looker(file("20240131.onnx", 1)) == "gs://b/clf/20240131.onnx"
    assert looker(file("20240131.onnx", 1), file("20240201-0930.onnx", 2)) is None
    assert "20240201-0930.onnx does not fit" in looker.told[0]


def test_many_strays_are_one_event(looker):
    assert looker(file("1.onnx")) == "gs://b/clf/1.onnx"
    assert looker(file("1.onnx"), *(file(f"tmp{n:02d}x.onnx") for n in range(40))) is None
    assert len(looker.told) == 1
    assert looker.told[0].endswith("; 35 more")


def test_older_number_that_comes_later_is_told_once(looker):
    assert looker(file("1.onnx", 99), file("10.onnx", 5)) == "gs://b/clf/10.onnx"
    assert looker.told == []  # it was there before
    later = [file("1.onnx", 99), file("10.onnx", 5), file("9.onnx", 6)]
    assert looker(*later) is None
    assert looker.told == [
        "passed over: gs://b/clf/9.onnx came later than gs://b/clf/10.onnx, and is older"
    ]
    assert looker(*later) is None
    assert looker.told == []


def test_rule_that_is_fixed_holds_from_the_first_look_on():
    target = WatchTarget("gs://b/clf/*", ("clf",), rule=VersionRule("gs://b/clf/*", ("v", "")))
    look = Looker(target)
    look(file("tmp/x", 9), file("v2/x", 1), file("v10/x", 0))
    assert look(file("tmp/x", 9), file("v2/x", 1), file("v10/x", 0)) == "gs://b/clf/v10"
    assert "gs://b/clf/tmp does not fit" in look.told[0]


def test_rule_is_open_until_something_is_proposed(looker):
    assert looker(file("notes/x", 1)) is None
    assert looker(file("9/x", 1)) is None  # the notes are gone before they were complete
    assert looker(file("9/x", 1), file("10/x", 0)) == "gs://b/clf/9"
    assert looker(file("9/x", 1), file("10/x", 0)) == "gs://b/clf/10"


def test_folders_without_marker_do_not_make_the_rule():
    look = Looker(MARKED)
    marked = [file("9/_SUCCESS", 5), file("10/_SUCCESS", 4)]
    assert look(*marked, file("tmp/model.onnx", 9)) == "gs://b/clf/10"
    assert look.told == []


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
        look, found = next_look(FOLDERS, look, listed, now_secs=0, settle_secs=SETTLE_SECS)
        ids.append(found[0].candidate_id if found else None)
    assert ids[0] != ids[2]
    assert (ids[1], ids[3]) == (None, None)
    again = next_look(FOLDERS, Look(), [file("model.onnx")], now_secs=9, settle_secs=SETTLE_SECS)
    assert again[1][0].candidate_id == ids[0]


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
    assert "7.onnx came later" in looker.told[0]
    assert looker() is None
    assert looker(file("9.onnx", 3)) == "gs://b/clf/9.onnx"


def test_manifests_are_files_and_propose_whole_releases():
    look = Looker(MANIFESTS)
    listed = [file(name, base="gs://b/releases") for name in ("r9.json", "r12.json", "r13.json/x")]
    assert look(*listed) == "gs://b/releases/r12.json"
    assert look(*listed) is None


NAMES = st.sampled_from(
    ["8/a", "7/a", "v8/a", "v10/a", "x", "2024-01-31/a", "2024-02-01/a", "0123456/a", "0a1b2c3/a"]
)
FILES = st.lists(st.builds(file, NAMES, st.integers(0, 3)), max_size=6, unique_by=lambda f: f.uri)


@given(FILES.flatmap(lambda files: st.tuples(*[st.permutations(files)] * 3)))
def test_order_of_the_listing_means_nothing(listings):
    def looks(*orders):
        look = Looker(FOLDERS)
        return [(look(*files), look.told) for files in orders]

    assert looks(*listings) == looks(listings[0], listings[0], listings[0])


@given(FILES, FILES)
def test_versions_under_a_rule_are_in_a_total_order_whatever_else_is_there(files, others):
    found = versions(FOLDERS, files)
    rule = rule_for(FOLDERS, found)
    if rule is None:
        return
    fitting, strays = ordered(found, rule)
    assert not strays
    uris = {f.uri for f in files}
    more = versions(FOLDERS, [*files, *(f for f in others if f.uri not in uris)])
    beside = [v for v in ordered(more, rule)[0] if v in fitting]
    assert beside == fitting


@given(FILES)
def test_gate_and_watch_mode_agree_which_version_is_older(files):
    found = versions(FOLDERS, files)
    rule = rule_for(FOLDERS, found)
    if rule is None:
        return
    fitting = ordered(found, rule)[0]
    for position, one in enumerate(fitting):
        for newer in fitting[position + 1 :]:
            assert not is_older(newer.uri, newer.updated_us, one.uri, one.updated_us, rule)


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
    _, (candidate,) = next_look(
        targets[0], Look(), [file("7.onnx", base="gs://b/e")], now_secs=0, settle_secs=1
    )
    assert candidate.models == dict.fromkeys(["embed", "classify"], "gs://b/e/7.onnx")


def in_parts(weights="w1", name="7.onnx"):
    return [
        file(name),
        StoredFile("gs://b/clf/weights.bin", 100, 1_000, weights, part_of=f"gs://b/clf/{name}"),
    ]


def test_file_and_what_it_needs_beside_it_are_one_version_and_seen_twice_before_it_counts():
    look = Looker(WatchTarget("gs://b/clf/*.onnx", ("clf",)))
    assert look(*in_parts()) is None
    assert look.settling
    assert look(*in_parts()) == "gs://b/clf/7.onnx"
    assert look(*in_parts()) is None
    assert look(*in_parts("w2")) is None
    assert look(*in_parts("w2")) == "gs://b/clf/7.onnx"


def test_what_a_version_needs_beside_it_is_no_version_by_itself(looker):
    files = [*in_parts(), file("weights.bin", 2_000), file("notes.onnx.data", 0)]
    found = [version.uri for version in versions(FOLDERS, files)]
    assert "gs://b/clf/weights.bin" not in found
    assert "gs://b/clf/7.onnx" in found


def test_file_of_weights_that_two_versions_need_belongs_to_both():
    target = WatchTarget("gs://b/clf/*.onnx", ("clf",))
    before = versions(target, [*in_parts(name="7.onnx"), *in_parts(name="8.onnx")])
    after = versions(target, [*in_parts("w2", name="7.onnx"), *in_parts("w2", name="8.onnx")])
    changed = {version.uri: version.fingerprint for version in before}
    assert all(changed[version.uri] != version.fingerprint for version in after)
    assert len(after) == 2


def test_names_that_are_not_utf8_count_as_others_do(looker):
    odd = StoredFile("gs://b/clf/7/note\udcff.txt", 1, 1_000, "g1")
    assert looker(file("6/model.pkl")) is None
    assert looker(file("6/model.pkl"), file("7/model.pkl"), odd) == "gs://b/clf/6"
    assert looker(file("6/model.pkl"), file("7/model.pkl"), odd) == "gs://b/clf/7"


def test_thousands_of_versions_are_compared_a_few_times_each_and_not_with_each_other(monkeypatch):
    compared = []
    monkeypatch.setattr(Version, "__eq__", lambda one, other: compared.append(1) or one is other)
    files = [file(f"{number}") for number in range(400)]
    next_look(FOLDERS, Look(), files, now_secs=0, settle_secs=0)
    assert len(compared) < 10 * len(files)
