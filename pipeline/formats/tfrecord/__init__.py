"""TFRecord: its framing, and the tf.Example messages in it."""
