"""The encoders that can be read, one family a module."""
