"""Where word vectors come from: files, objects in memory, matrices, encoders."""
