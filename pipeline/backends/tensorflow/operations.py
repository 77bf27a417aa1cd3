"""Which of TensorFlow's operations do more than compute.

The test of this module compares the list with all operations that TensorFlow registers and whose
texts are called after files, folders or addresses. Operations that other libraries register are not
known here; without their library, TensorFlow does not load a graph that has one.
"""

from __future__ import annotations

from typing import Any

TEXT_TABLES = frozenset(("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"))
"""They read the file that their second input names: right for an asset of the model."""

RESTORES = frozenset(("Restore", "RestoreSlice", "RestoreV2"))
"""They read the file that their first input names: right for the variables of the model."""

_FILES = (
    *("ReadFile", "WriteFile", "MatchingFiles", "MatchingFilesDataset", "RecordInput"),
    *("ExperimentalMatchingFilesDataset", "Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints"),
    *("DTensorRestoreV2", "LoadAndRemapMatrix", "GenerateVocabRemapping", "DistributedSave"),
    *("WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "LMDBReader"),
    *("TFRecordReader", "TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2"),
    *("TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "CSVDataset", "CSVDatasetV2"),
    *("FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "LMDBDataset", "SqlDataset"),
    *("ExperimentalCSVDataset", "ExperimentalLMDBDataset", "ExperimentalSqlDataset"),
    *("CacheDataset", "CacheDatasetV2", "SnapshotDataset", "SnapshotDatasetV2", "LoadDataset"),
    *("SnapshotDatasetReader", "SnapshotNestedDatasetReader", "SnapshotChunkDataset"),
    *("ListSnapshotChunksDataset", "SaveDataset", "SaveDatasetV2", "DatasetToTFRecord"),
    *("ExperimentalDatasetToTFRecord", "CreateSummaryFileWriter", "CreateSummaryDbWriter"),
    *("FixedUnigramCandidateSampler", "Skipgram", "CalibrationStatisticsSaver", "DumpTensor"),
    *("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount"),
    *("DebugNumericSummary", "Copy", "CopyHost", "FileSystemSetConfiguration"),
    *("ImmutableConst",),
)
_ADDRESSES = (
    *("DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3"),
    *("DataServiceDatasetV4", "RegisterDataset", "RegisterDatasetV2", "RpcClient", "RpcServer"),
)
# Programs within a text, where nobody sees their operations, and functions of this process.
_PROGRAMS = (
    *("DatasetFromGraph", "DeserializeIterator", "MlirPassthroughOp"),
    *("PyFunc", "PyFuncStateless", "EagerPyFunc"),
)
DENIED = (
    dict.fromkeys(_FILES, "can read or write files of this machine")
    | dict.fromkeys(sorted(TEXT_TABLES), "reads a file that is no asset of the model")
    | dict.fromkeys(sorted(RESTORES), "reads a file that is not the model's variables")
    | dict.fromkeys(_ADDRESSES, "talks to other machines")
    | dict.fromkeys(_PROGRAMS, "runs code that the graph does not show")
)
"""Operation -> what it does beside computing."""

_STREAMS = {b"", b"stderr", b"stdout"}
_LOG = b"log("
_DESCRIPTORS = (b"local://", b"bytes://")


def wrong_with(node: Any) -> str:
    """What a node (a NodeDef) does beside computing; empty if nothing."""
    if node.op == "PrintV2":
        stream = node.attr["output_stream"].s
        if stream not in _STREAMS and not stream.startswith(_LOG):
            return "writes a file of this machine"
    if node.op in ("DecodeProtoV2", "EncodeProto"):
        source = node.attr["descriptor_source"].s
        if source and not source.startswith(_DESCRIPTORS):
            return "reads a file of this machine"
    return DENIED.get(node.op, "")
