"""What people look at: the report of a coverage, and TensorBoard's projector."""
