"""TensorFlow: SavedModels, Keras files, modules of a hub."""
