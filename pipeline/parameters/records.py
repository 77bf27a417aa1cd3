"""Parameters of what is read and what is written."""

from __future__ import annotations

from pipeline.formats.lines import DEFAULT_RECORD_BYTES
from pipeline.formats.registry import FORMATS, OUTPUT_FORMATS
from pipeline.parameters.parameter import BUCKET, FILE, SUBSCRIPTION, TABLE, TOPIC, Parameter

_FORMATS = [
    f"{each.name} ({each.records_are})" if each.records_are else each.name
    for each in FORMATS.values()
]

RECORDS_IN: tuple[Parameter, ...] = (
    Parameter(
        "input_file_pattern",
        "Input files",
        "Files to read; * and ? match parts of a name. Compressed text (.gz, .bz2, .zst, .xz) is "
        "read, too. With --streaming=true, also files that appear later. Local or gs://.",
        group="Records in",
        param_type="GCS_READ_FILE",
        regex=FILE,
    ),
    Parameter(
        "input_format",
        "Format of input files",
        f"What the input files hold: {', '.join(_FORMATS[:-1])}, or {_FORMATS[-1]}. auto decides "
        "by each file's extension; files with an unknown one are read as jsonl.",
        kind="choice",
        choices=("auto", *FORMATS),
        default="auto",
        group="Records in",
    ),
    Parameter(
        "max_record_bytes",
        "Largest record",
        "A record of an input file with more bytes than this is a dead letter, not read. Memory "
        "grows with it: records that can only be read together (a block of Avro, rows of Parquet) "
        "may take four times as much.",
        kind="integer",
        minimum=1024,
        default=str(DEFAULT_RECORD_BYTES),
        group="Records in",
    ),
    Parameter(
        "input_subscription",
        "Input subscription",
        "Pub/Sub subscription with one JSON object a message, "
        "projects/PROJECT/subscriptions/NAME. Makes the job a streaming one.",
        group="Records in",
        param_type="PUBSUB_SUBSCRIPTION",
        regex=SUBSCRIPTION,
    ),
    Parameter(
        "input_topic",
        "Input topic",
        "Pub/Sub topic to read instead of a subscription, projects/PROJECT/topics/NAME; only "
        "messages published while the job runs are read.",
        group="Records in",
        param_type="PUBSUB_TOPIC",
        regex=TOPIC,
    ),
    Parameter(
        "id_label",
        "Attribute with the message's id",
        "Attribute of a message that identifies it: of messages with the same value that come "
        "within 10 minutes of each other, Dataflow hands on one. On Dataflow only.",
        group="Records in",
    ),
    Parameter(
        "timestamp_attribute",
        "Attribute with the message's time",
        "Attribute of a message that holds its event time (RFC 3339, or milliseconds since 1970), "
        "for latencies and event times instead of the publish time. On Dataflow only; the workers' "
        "account then needs roles/pubsub.editor, since Dataflow makes a second subscription.",
        group="Records in",
    ),
    Parameter(
        "input_table",
        "Input table",
        "BigQuery table whose rows are the records, PROJECT.DATASET.TABLE; its columns have the "
        "names of the record's fields. Batch only: it is exported to files under --temp_location.",
        group="Records in",
        param_type="BIGQUERY_TABLE",
        regex=TABLE,
    ),
    Parameter(
        "input_query",
        "Input query",
        "Query in standard SQL whose result is read instead of a table. It runs, and is charged, "
        "in --project.",
        group="Records in",
    ),
    Parameter(
        "streaming",
        "Streaming",
        "Run as a streaming job: files that appear later are read, too. A Pub/Sub input implies "
        "it.",
        kind="boolean",
        default="false",
        group="Records in",
    ),
)

RECORDS_OUT: tuple[Parameter, ...] = (
    Parameter(
        "output_path",
        "Output prefix",
        "Predictions are written to PREFIX-00000-of-00003.jsonl (or .csv, .parquet) and so "
        "on; in a stream, to files named by time. Local or gs://.",
        group="Records out",
        param_type="GCS_WRITE_FILE",
        regex=FILE,
    ),
    Parameter(
        "output_format",
        "Format of output files",
        "Format of prediction files: jsonl; in batch jobs also csv (a header in each file) or "
        "parquet. Dead letters are always JSON lines.",
        kind="choice",
        choices=OUTPUT_FORMATS,
        default="jsonl",
        group="Records out",
    ),
    Parameter(
        "output_topic",
        "Output topic",
        "Pub/Sub topic for predictions, one a message, with the attributes record_id, release_id "
        "and generation besides those of the input.",
        group="Records out",
        param_type="PUBSUB_TOPIC",
        regex=TOPIC,
    ),
    Parameter(
        "output_table",
        "Output table",
        "BigQuery table for predictions, PROJECT.DATASET.TABLE, one row each. Created if it is "
        "missing, otherwise appended to. A batch job loads all rows at its end; a stream inserts "
        "them as they arrive.",
        group="Records out",
        param_type="BIGQUERY_TABLE",
        regex=TABLE,
    ),
    Parameter(
        "dead_letter_path",
        "Dead letter prefix",
        "Records without a prediction are written here, each with the reason. Default: the output "
        "prefix followed by -dead-letters.",
        group="Records out",
        param_type="GCS_WRITE_FILE",
        regex=FILE,
    ),
    Parameter(
        "dead_letter_topic",
        "Dead letter topic",
        "Pub/Sub topic for records without a prediction, one a message.",
        group="Records out",
        param_type="PUBSUB_TOPIC",
        regex=TOPIC,
    ),
    Parameter(
        "dead_letter_table",
        "Dead letter table",
        "BigQuery table for records without a prediction, PROJECT.DATASET.TABLE. Created if it is "
        "missing, otherwise appended to.",
        group="Records out",
        param_type="BIGQUERY_TABLE",
        regex=TABLE,
    ),
    Parameter(
        "report_path",
        "Report page",
        "HTML file that describes the run: counts, distributions, agreement of the models, dead "
        "letters, releases. A batch job writes it at its end, a stream also every minute."
        " Local or gs://.",
        group="Records out",
        param_type="GCS_WRITE_FILE",
        regex=f"^{BUCKET}/.+[.]html?$",
    ),
    Parameter(
        "overwrite",
        "Overwrite earlier output",
        "Replace what an earlier batch run wrote under the same prefixes, in either format, and "
        "its report, once the new files are complete. Without it, a launch that finds such "
        "files is refused.",
        kind="boolean",
        default="false",
        group="Records out",
    ),
    Parameter(
        "output_file_secs",
        "Seconds per output file",
        "In a stream, an output file is finished after this many seconds. 0 means 60 on Dataflow "
        "and Flink, where many workers write files, and 5 in one process and on Prism.",
        kind="integer",
        minimum=0,
        default="0",
        group="Records out",
    ),
)
