"""A SavedModel that could touch files other than its own is refused before TensorFlow loads it."""

import re

import numpy as np
import pytest

from pipeline.backends.tensorflow.operations import DENIED, wrong_with
from pipeline.backends.tensorflow.saved_graph import check_graph
from pipeline.errors import UntrustedArtifactError
from tests.support.specs import load, model_spec

TEXT = 7
"""TensorFlow's number of the dtype string."""

SPEC = {"framework": "tensorflow", "inputs": {"s": "s"}, "outputs": {"y": "y"}}


def text(*shape):
    import tensorflow as tf

    return tf.TensorSpec(shape or [None], tf.string)


def saved(folder, serve, **more):
    """A model whose default signature is a function of a text; attributes by name."""
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[text()])
    for name, value in more.items():
        setattr(module, name, value)
    tf.saved_model.save(module, folder, signatures=module.serve)
    return folder


def changed(folder, change):
    """The model in a folder after a change of its only graph."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    file = folder / "saved_model.pb"
    model.ParseFromString(file.read_bytes())
    change(model.meta_graphs[0])
    file.write_bytes(model.SerializeToString())
    return folder


def table(vocabulary):
    import tensorflow as tf

    lines = tf.lookup.TextFileInitializer(
        str(vocabulary),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return tf.lookup.StaticHashTable(lines, -1)


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nb\nc\n")
    return path


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


def served(folder):
    import tensorflow as tf

    spec = model_spec(**SPEC)
    return load(folder, spec).predict({"s": np.array(["a", "c"], dtype=object)})["y"], tf


def writes(marker):
    import tensorflow as tf

    def serve(s):
        tf.io.write_file(str(marker), "written")
        return {"y": s}

    return serve


def in_branch(marker):
    import tensorflow as tf

    def serve(s):
        return {"y": tf.cond(tf.size(s) > 0, lambda: tf.io.read_file(str(marker)), lambda: s[0])}

    return serve


def in_map(marker):
    import tensorflow as tf

    return lambda s: {"y": tf.map_fn(tf.io.read_file, s)}


def in_dataset(marker):
    import tensorflow as tf

    def serve(s):
        rows = tf.data.Dataset.from_tensor_slices(s).map(tf.io.read_file).batch(8)
        return {"y": rows.get_single_element()}

    return serve


def lists(marker):
    import tensorflow as tf

    return lambda s: {"y": tf.io.matching_files(s)}


def restores(marker):
    import tensorflow as tf

    return lambda s: {
        "y": tf.raw_ops.RestoreV2(
            prefix=s[0], tensor_names=["w"], shape_and_slices=[""], dtypes=[tf.string]
        )[0]
    }


def prints(marker):
    import tensorflow as tf

    def serve(s):
        tf.print(s, output_stream=f"file://{marker}")
        return {"y": s}

    return serve


def python(marker):
    import tensorflow as tf

    return lambda s: {"y": tf.py_function(lambda x: x, [s], tf.string)}


@pytest.mark.parametrize(
    "make",
    [writes, in_branch, in_map, in_dataset, lists, restores, prints, python],
    ids=lambda make: make.__name__,
)
def test_signature_that_touches_files_is_refused(make, marker, tmp_path):
    folder = saved(tmp_path / "model", make(marker))
    with pytest.raises(
        UntrustedArtifactError, match=r"model has the operation \w+ \('.*`trusted: true`"
    ):
        load(folder, model_spec(**SPEC))
    assert not marker.exists()


def test_trusted_model_may_touch_files(marker, tmp_path):
    folder = saved(tmp_path / "model", writes(marker))
    servable = load(folder, model_spec(**SPEC, trusted=True))
    servable.predict({"s": np.array(["a"], dtype=object)})
    assert marker.read_text() == "written"


def test_function_that_python_calls_by_itself_is_refused(marker, tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[])
    def write():
        tf.io.write_file(str(marker), "written")
        return tf.constant(0)

    folder = saved(tmp_path / "model", lambda s: {"y": s}, _hidden=write)
    with pytest.raises(UntrustedArtifactError, match="WriteFile"):
        check_graph(folder, "serving_default")


def test_functions_that_nobody_calls_may_save_checkpoints(tmp_path):
    import tensorflow as tf

    weight = tf.Variable(2.0)

    @tf.function(input_signature=[text(1)])
    def save(path):
        tf.raw_ops.Save(filename=path[0], tensor_names=["w"], data=[weight.read_value()])
        return {"path": path}

    module = tf.Module()
    module.weight, module.save = weight, save
    module.serve = tf.function(lambda s: {"y": s}, input_signature=[text()])
    signatures = {"serving_default": module.serve, "save": save}
    tf.saved_model.save(module, tmp_path / "model", signatures=signatures)
    assert list(served(tmp_path / "model")[0]) == ["a", "c"]
    with pytest.raises(UntrustedArtifactError, match="the operation Save"):
        check_graph(tmp_path / "model", "save")


def test_function_of_the_same_interface_counts(tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[text()])
    def read(s):
        return {"y": tf.map_fn(tf.io.read_file, s)}

    folder = saved(tmp_path / "model", lambda s: {"y": s}, other=read)
    check_graph(folder, "serving_default")

    def alike(graph):
        for each in graph.graph_def.library.function:
            if each.signature.name.startswith(("__inference_<lambda>", "__inference_read")):
                each.attr["api_implements"].s = b"same"

    changed(folder, alike)
    with pytest.raises(UntrustedArtifactError, match="ReadFile"):
        check_graph(folder, "serving_default")


def test_vocabulary_that_is_an_asset_is_read(vocabulary, tmp_path):
    words = table(vocabulary)
    folder = saved(tmp_path / "model", lambda s: {"y": words.lookup(s)}, words=words)
    vocabulary.unlink()
    assert list(served(folder)[0]) == [0, 2]


@pytest.mark.parametrize("name", ["../words.txt", "/etc/hostname", "a/../../words.txt", ""])
def test_asset_outside_the_folder_of_assets_is_refused(name, vocabulary, tmp_path):
    words = table(vocabulary)
    folder = saved(tmp_path / "model", lambda s: {"y": words.lookup(s)}, words=words)
    changed(folder, lambda graph: setattr(graph.asset_file_def[0], "filename", name))
    with pytest.raises(UntrustedArtifactError, match=r"an asset '.*outside its folder of assets"):
        load(folder, model_spec(**SPEC))


def constant(node, value):
    import tensorflow as tf

    node.op, node.name = "Const", "path"
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def test_vocabulary_that_is_no_asset_is_refused(vocabulary, tmp_path):
    words = table(vocabulary)
    folder = saved(tmp_path / "model", lambda s: {"y": words.lookup(s)}, words=words)

    def change(graph):
        for each in graph.graph_def.library.function:
            for node in list(each.node_def):
                if node.op == "InitializeTableFromTextFileV2":
                    constant(each.node_def.add(), str(vocabulary))
                    node.input[1] = "path:output:0"

    changed(folder, change)
    with pytest.raises(UntrustedArtifactError, match="reads a file that is no asset of the model"):
        load(folder, model_spec(**SPEC))


def test_vocabulary_of_a_constant_that_a_table_is_given_is_refused(vocabulary, tmp_path):
    words = table(vocabulary)
    folder = saved(tmp_path / "model", lambda s: {"y": words.lookup(s)}, words=words)

    def change(graph):
        for each in graph.object_graph_def.nodes:
            if each.WhichOneof("kind") == "asset":
                each.constant.operation = "path"
        constant(graph.graph_def.node.add(), str(vocabulary))

    changed(folder, change)
    with pytest.raises(UntrustedArtifactError, match="reads a file that is no asset of the model"):
        load(folder, model_spec(**SPEC))


def test_initialiser_that_another_function_calls_with_a_path_is_refused(vocabulary, tmp_path):
    words = table(vocabulary)
    folder = saved(tmp_path / "model", lambda s: {"y": words.lookup(s)}, words=words)

    def change(graph):
        each = {f.signature.name.strip("_0123456789"): f for f in graph.graph_def.library.function}
        wrapper = next(f for name, f in each.items() if name.startswith("inference_signature"))
        constant(wrapper.node_def.add(), str(vocabulary))
        call = wrapper.node_def.add(op="StatefulPartitionedCall", name="call", input=["path"])
        call.attr["f"].func.name = each["inference__initializer"].signature.name

    changed(folder, change)
    with pytest.raises(UntrustedArtifactError, match="reads a file that is no asset of the model"):
        check_graph(folder, "serving_default")


@pytest.fixture
def of_tensorflow_1(vocabulary, tmp_path):
    """A graph without objects, with a variable and a table."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        s = v1.placeholder(tf.string, [None], name="s")
        words = v1.lookup.StaticHashTable(
            v1.lookup.TextFileInitializer(
                str(vocabulary),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )
        weight = v1.get_variable("w", [], tf.int64, initializer=v1.ones_initializer())
        v1.summary.scalar("unused", weight)
        read = tf.map_fn(tf.io.read_file, s)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(tmp_path / "model"))
        sign = v1.saved_model.predict_signature_def
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": sign({"s": s}, {"y": words.lookup(s) * weight}),
                "read": sign({"s": s}, {"y": read}),
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    return tmp_path / "model"


def test_graph_of_tensorflow_1_is_judged_by_what_runs(of_tensorflow_1, vocabulary):
    vocabulary.unlink()
    assert list(served(of_tensorflow_1)[0]) == [0, 2]
    with pytest.raises(UntrustedArtifactError, match="ReadFile"):
        check_graph(of_tensorflow_1, "read")


@pytest.mark.parametrize("what", ["table", "variables", "asset", "initialiser", "another output"])
def test_graph_of_tensorflow_1_that_reads_other_files_is_refused(what, of_tensorflow_1):
    def change(graph):
        nodes = {node.op: node for node in graph.graph_def.node}
        constant(graph.graph_def.node.add(), "/etc/hostname")
        (packed,) = graph.collection_def["saved_model_assets"].any_list.value
        asset = graph.asset_file_def.add()
        packed.Unpack(asset)
        if what == "table":
            nodes["InitializeTableFromTextFileV2"].input[1] = "path"
        elif what == "variables":
            nodes["RestoreV2"].input[0] = "path"
        elif what == "asset":
            asset.filename = "../../words.txt"
        elif what == "initialiser":
            read = graph.graph_def.node.add(name="read", op="ReadFile", input=["path"])
            graph.collection_def["table_initializer"].node_list.value.append(read.name)
        else:
            asset.tensor_info.name = asset.tensor_info.name.replace(":0", ":1")

    changed(of_tensorflow_1, change)
    with pytest.raises(UntrustedArtifactError):
        check_graph(of_tensorflow_1, "serving_default")


def models_of_keras():
    import keras
    import tf_keras

    words = keras.Input((1,), dtype="string", name="s")
    known = keras.layers.TextVectorization(output_sequence_length=4, vocabulary=["a", "b"])
    yield "text", keras.Model(words, keras.layers.Embedding(9, 3)(known(words)))
    numbers = keras.Input((4,), name="x")
    yield "dense", keras.Model(numbers, keras.layers.Dense(2, name="y")(numbers))
    old = tf_keras.Input((6, 4))
    trained = tf_keras.Model(old, tf_keras.layers.LSTM(3)(old))
    trained.compile("adam", "mse")
    trained.fit(np.zeros((4, 6, 4)), np.zeros((4, 3)), verbose=0)
    yield "keras 2", trained


def test_models_that_keras_exports_are_plain(tmp_path):
    for name, model in models_of_keras():
        model.export(tmp_path / name)
        check_graph(tmp_path / name, "serving_default")
        if name == "keras 2":
            model.save(tmp_path / "saved", save_format="tf")
            check_graph(tmp_path / "saved", "serving_default")


NO_FILES = {
    *("RegexFullMatch", "RegexReplace", "StaticRegexFullMatch", "StaticRegexReplace"),
    *("SetStatsAggregatorDataset", "ExperimentalSetStatsAggregatorDataset"),
}
"""Operations with a text of such a name that names something else."""
WHERE_IT_DEPENDS = {"DecodeProtoV2", "EncodeProto"}


def test_every_operation_that_names_a_file_is_known():
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as session

    registered = op_def_pb2.OpList()
    registered.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    assert set(DENIED) <= {each.name for each in registered.op}
    named = re.compile(
        r"file|path|dir$|prefix|pattern|ur[il]s?$|address|ckpt|region|descriptor_source"
    )
    for each in registered.op:
        texts = [argument.name for argument in each.input_arg if argument.type == TEXT]
        texts += [attribute.name for attribute in each.attr if "string" in attribute.type]
        if any(named.search(name) for name in texts):
            assert each.name in {*DENIED, *NO_FILES, *WHERE_IT_DEPENDS}, texts


@pytest.mark.parametrize("op", sorted(WHERE_IT_DEPENDS))
def test_types_of_messages_come_from_the_graph_or_the_process(op):
    from tensorflow.core.framework import node_def_pb2

    node = node_def_pb2.NodeDef(op=op)
    for source, file in [(b"", False), (b"local://", False), (b"bytes://x", False), (b"/x", True)]:
        node.attr["descriptor_source"].s = source
        assert bool(wrong_with(node)) is file
